"""From a request to the first fact of an execution: everything is checked here, nothing is stored yet."""

import re
from typing import Any, NamedTuple

import msgspec
import uuid_utils
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.execution.create import EMPTY_KWARGS, Origin, arguments_hash, enqueued
from penstock.domain.execution.facts import Enqueued
from penstock.domain.function.options import CallOptions, FunctionSpec, ResolvedOptions, resolve
from penstock.domain.ids import is_function_name, keyed_execution_id
from penstock.domain.limits import arguments_bytes_max, payload_inline_bytes_max
from penstock.jetstream.registry import FunctionRegistry
from penstock.ports import Clock
from penstock.wire.calls import ExecutionRequest
from penstock.wire.json import check_json, escape, invalid_json, too_deep
from penstock_ingest.arguments import ArgumentCheck

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<where>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|\[(\.\.\.)\]")
_DURATIONS = frozenset({"/options/delay", "/options/discard_after", "/options/timeout"})
_FIELD = re.compile(r"unknown field `(.*)`")


_decoder = msgspec.json.Decoder(ExecutionRequest)
_DEFAULT = ExecutionRequest()
_NO_KWARGS = bytes(EMPTY_KWARGS)


class Draft(NamedTuple):
    """A first fact that is ready to be stored, and the arguments to put into the object store before it."""

    execution_id: str
    fact: Enqueued
    upload: bytes | None = None


def parse_request(body: bytes) -> ExecutionRequest:
    """The request. Raises Rejected `invalid_json`, `invalid_option` or `invalid_arguments` naming the field."""
    if not body:
        return _DEFAULT
    request: ExecutionRequest = decode_strictly(_decoder, body)
    return request


def decode_strictly(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
    """The decoded struct, or the complaint of the decoder as a problem of ours."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _misfit(str(error)) from None
    except RecursionError:
        raise too_deep("") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid_json(error) from None


def _misfit(complaint: str) -> Rejected:
    match = _PLACE.match(complaint)
    what, where = (match["what"], match["where"] or "") if match else (complaint, "")
    pointer = "".join(f"/{escape(name or index or '*')}" for name, index, rest in _STEP.findall(where))
    unknown = _FIELD.search(what)
    if unknown:
        pointer += f"/{escape(unknown[1])}"
        what = f"there is no `{unknown[1]}` here"
    code = "invalid_option" if pointer.startswith("/options") else "invalid_arguments"
    if pointer in _DURATIONS:
        code = "invalid_duration"
    return Rejected(code, f"{pointer or 'The body'}: {what}.", pointers=[(pointer, what)])


class Drafter:
    """Makes drafts for the functions that the registry knows."""

    def __init__(self, environment: str, registry: FunctionRegistry, clock: Clock) -> None:
        self._environment = environment
        self._registry = registry
        self._clock = clock
        self._arguments = ArgumentCheck()

    def function(self, name: str) -> FunctionSpec:
        """The declared function. Raises Rejected `invalid_name`, or `unknown_function` with the near names."""
        spec = self._registry.get(name)
        if spec is not None:
            return spec
        if not is_function_name(name):
            raise Rejected("invalid_name", f"A function name is 1 to 64 of A-Z a-z 0-9 _ -, not {name[:80]!r}.")
        near = self._registry.near(name)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise Rejected("unknown_function", f"There is no function {name!r}.{hint}", near=near)

    def draft(
        self,
        spec: FunctionSpec,
        request: ExecutionRequest,
        origin: Origin,
        key: str | None = None,
        execution_id: str | None = None,
    ) -> Draft:
        """The first fact of this call. `key` comes from a header, `execution_id` was chosen already."""
        self._check(spec, request.args, request.kwargs)
        now = self._clock()
        resolved = resolve(with_key(request.options, key), now)
        if execution_id is None and resolved.idempotency_key is not None:
            execution_id = keyed_execution_id(self._environment, spec.name, resolved.idempotency_key)
        return self._made(spec, request.args, request.kwargs, resolved, now, origin, execution_id)

    def draft_by(self, spec: FunctionSpec, args: Raw, resolved: ResolvedOptions, now: int, origin: Origin) -> Draft:
        """The first fact of a call by position; the rules of its door have come to these options at `now`."""
        self._check(spec, args, EMPTY_KWARGS)
        return self._made(spec, args, EMPTY_KWARGS, resolved, now, origin, None)

    def _check(self, spec: FunctionSpec, args: Raw, kwargs: Raw) -> None:
        size = len(bytes(args)) + len(bytes(kwargs))
        if size > arguments_bytes_max:
            raise Rejected(
                "payload_too_large",
                f"The arguments have {size} bytes; at most {arguments_bytes_max} are taken.",
                limit=arguments_bytes_max,
            )
        given_args = check_json(args, "/args")
        # What most calls have need not be read.
        given_kwargs = {} if bytes(kwargs) == _NO_KWARGS else check_json(kwargs, "/kwargs")
        if not isinstance(given_args, list):
            raise Rejected("invalid_arguments", "`args` must be an array.", pointers=[("/args", "not an array")])
        if not isinstance(given_kwargs, dict):
            raise Rejected("invalid_arguments", "`kwargs` must be an object.", pointers=[("/kwargs", "not an object")])
        self._arguments.check(spec, given_args, given_kwargs)

    def _made(
        self,
        spec: FunctionSpec,
        args: Raw,
        kwargs: Raw,
        resolved: ResolvedOptions,
        now: int,
        origin: Origin,
        execution_id: str | None,
    ) -> Draft:
        execution_id = execution_id or uuid_utils.uuid7().hex
        upload, ref = None, None
        if len(bytes(args)) + len(bytes(kwargs)) > payload_inline_bytes_max:
            upload = b'{"args":' + bytes(args) + b',"kwargs":' + bytes(kwargs) + b"}"
            # The content is part of the name: a request that conflicts must not replace what is stored.
            ref = f"arguments-{execution_id}-{arguments_hash(args, kwargs)}"
        fact = enqueued(execution_id, spec.name, args, kwargs, resolved, now, origin, arguments_ref=ref)
        return Draft(execution_id, fact, upload)


def with_key(options: CallOptions, key: str | None) -> CallOptions:
    """The options with the key of the header. Raises Rejected when the two name different keys."""
    if key is None:
        return options
    if options.idempotency_key is not None and options.idempotency_key != key:
        raise Rejected(
            "invalid_option",
            "The Idempotency-Key header and `options.idempotency_key` differ.",
            pointers=[("/options/idempotency_key", "not the key of the header")],
        )
    return msgspec.structs.replace(options, idempotency_key=key)
