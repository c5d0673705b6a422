"""Makes executions from inside others: children that are waited for, and those that nobody waits for."""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import msgspec
import uuid_utils
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import Enqueue as EnqueueCommand
from penstock.domain.execution.create import Origin, arguments_hash, enqueued
from penstock.domain.execution.facts import Child, Enqueued
from penstock.domain.function.options import CallOptions, FunctionSpec, ResolvedOptions, resolve
from penstock.domain.ids import child_execution_id, keyed_execution_id
from penstock.domain.limits import arguments_bytes_max, children_per_call_max, payload_inline_bytes_max
from penstock.domain.trace import Carried, SpanContext
from penstock.functions import actions as a
from penstock.functions import translate
from penstock.handle import handle
from penstock.jetstream.objects import Payloads
from penstock.jetstream.registry import FunctionRegistry
from penstock.ports import Clock, Dice, ExecutionLog, Timers
from penstock.service.gate import Gate
from penstock.telemetry.paths import attempt_span
from penstock.wire.names import START_WAIT
from penstock_runner.activity import Activity, until_answered

Decoded = TypeVar("Decoded")

TOGETHER = 100
"""Children made at once."""


class Children:
    """New executions. The same call made again makes none."""

    def __init__(
        self,
        environment: str,
        log: ExecutionLog,
        registry: FunctionRegistry,
        timers: Timers,
        payloads: Payloads,
        gate: Gate,
        clock: Clock,
        dice: Dice,
    ) -> None:
        self._environment = environment
        self._log = log
        self._registry = registry
        self._timers = timers
        self._payloads = payloads
        self._gate = gate
        self._clock = clock
        self._dice = dice

    async def call(self, activity: Activity, action: a.CallChildren) -> list[str]:
        """Ids of the children of one call. Raises Rejected.

        A child that is waited for is named by its parent first and made then: so its end always finds who waits for
        it. One that nobody waits for is made first: when the call is known, nothing is left to do.
        """
        if len(action.items) > children_per_call_max:
            raise Rejected("invalid_option", f"One call has at most {children_per_call_max} children.")
        spec = self._spec(action.function)
        options = resolve(_decoded(action.options, CallOptions), self._clock())
        for item in action.items:
            _decoded(item.args, Raw)
            _decoded(item.kwargs, Raw)
        if options.idempotency_key is not None and len(action.items) > 1:
            raise Rejected("invalid_option", "An idempotency key is for one execution, not for several.")
        ids = [self._id(activity, action, options, index) for index in range(len(action.items))]
        children = [Child(id=each, function=spec.name) for each in ids]
        command = translate.call_children(action, activity.activation, children)
        activity.awaited.add(action.call)
        if not action.detached:
            await activity.carry_out(self._log, command, self._clock, self._dice)
            ids = list(activity.state.ops[action.call].children)
        await self._make_all(activity, spec, options, ids, action.items)
        if action.detached:
            await activity.carry_out(self._log, command, self._clock, self._dice)
            ids = list(activity.state.ops[action.call].children)
        return ids

    def _spec(self, function: str) -> FunctionSpec:
        spec = self._registry.get(function)
        if spec is None:
            near = self._registry.near(function)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise Rejected("unknown_function", f"No runner has declared a function {function!r}.{hint}")
        return spec

    def _id(self, activity: Activity, action: a.CallChildren, options: ResolvedOptions, index: int) -> str:
        if options.idempotency_key is not None:
            return keyed_execution_id(self._environment, action.function, options.idempotency_key)
        return child_execution_id(activity.state.id, action.call, index)

    async def _make_all(
        self,
        activity: Activity,
        spec: FunctionSpec,
        options: ResolvedOptions,
        ids: Sequence[str],
        items: Sequence[a.CallItem],
    ) -> None:
        ended = {each for each in ids if (known := activity.state.children.get(each)) is not None and known.state}
        open_ones = [(each, item) for each, item in zip(ids, items, strict=True) if each not in ended]
        for start in range(0, len(open_ones), TOGETHER):
            part = open_ones[start : start + TOGETHER]
            await asyncio.gather(*(self._make(activity, spec, options, each, item) for each, item in part))

    async def _make(
        self, activity: Activity, spec: FunctionSpec, options: ResolvedOptions, execution_id: str, item: a.CallItem
    ) -> None:
        parent, now = activity.state, self._clock()
        span = SpanContext(parent.trace_id, attempt_span(parent.id, parent.attempt))
        carried = Carried(span, parent.tracestate, parent.baggage)
        origin = Origin(carried=carried, parent_id=parent.id, root_id=parent.root_id or parent.id)
        args, kwargs = Raw(item.args), Raw(item.kwargs)
        ref = await until_answered(lambda: self._store_arguments(execution_id, args, kwargs))
        fact = enqueued(execution_id, spec.name, args, kwargs, options, now, origin, ref)
        stored = _stored(args, kwargs) if ref is not None else None
        await until_answered(lambda: self.create(fact, execution_id, stored))

    async def _store_arguments(self, execution_id: str, args: Raw, kwargs: Raw) -> str | None:
        size = len(bytes(args)) + len(bytes(kwargs))
        if size > arguments_bytes_max:
            raise Rejected("payload_too_large", f"Arguments of {size} bytes; at most {arguments_bytes_max} are taken.")
        if size <= payload_inline_bytes_max:
            return None
        ref = f"arguments-{execution_id}-{arguments_hash(args, kwargs)}"
        await self._payloads.put(ref, _stored(args, kwargs))
        return ref

    async def create(self, fact: Enqueued, execution_id: str, stored: bytes | None = None) -> str:
        """Make the execution, or find that it is there. Raises Rejected `idempotency_conflict` if it is another."""
        fact = self._gate.stamp(fact, stored)
        try:
            await handle(
                self._log, execution_id, EnqueueCommand(fact=fact), self._clock, self._dice, function=fact.function
            )
        except Rejected as refusal:
            if refusal.code != "already_exists":
                raise
            recorded = await self._log.read(execution_id, fact.function)
            first = recorded[0].fact if recorded else None
            if not isinstance(first, Enqueued) or first.content_hash != fact.content_hash:
                raise Rejected(
                    "idempotency_conflict", f"The key belongs to execution {execution_id} already."
                ) from None
        if fact.run_at is not None:
            await self._timers.set(execution_id, START_WAIT, fact.run_at)
        return execution_id

    def new_id(self) -> str:
        """The id of an execution that nothing else determines."""
        return str(uuid_utils.uuid7().hex)


def _stored(args: Raw, kwargs: Raw) -> bytes:
    return b'{"args":' + bytes(args) + b',"kwargs":' + bytes(kwargs) + b"}"


def _decoded(json: bytes, kind: type[Decoded]) -> Decoded:
    """What a host sent. Raises Rejected: in a first fact it would leave an execution that nobody can read."""
    try:
        return msgspec.json.decode(json, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected("invalid_arguments", f"The call cannot be stored: {str(error)[:200]}.") from None
