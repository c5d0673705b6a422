"""Which executions wait for admission, and the keys of their limits: settled once, when the first fact is made."""

from functools import lru_cache
from typing import Any

import msgspec
import structlog
from msgspec.structs import replace

from penstock.domain.errors import Rejected
from penstock.domain.execution.facts import Enqueued
from penstock.domain.execution.hooks import NO_HOOKS
from penstock.domain.flow.limits import ENVIRONMENT, Batch, key_expressions
from penstock.domain.function.options import FunctionSpec
from penstock.domain.limits import flow_key_chars_max
from penstock.domain.system import LimitChanged
from penstock.jetstream.log import JetStreamLog
from penstock.ports import Registry
from penstock.wire.codec import decode_system_fact
from penstock.wire.names import Names

logger = structlog.get_logger("penstock")

KIND = "limit_changed"


@lru_cache(maxsize=4096)
def _compiled(expression: str) -> Any:
    # Loaded only where a function uses one: it takes a third of a second.
    import cel

    return cel.compile(expression)


async def changed_limit(log: JetStreamLog, function: str) -> int | None:
    """The concurrency of a function that somebody set at run time; None: as declared. Raises Unavailable."""
    stored = await log.read_system(KIND, f"function.{function}")
    fact = decode_system_fact(stored.data) if stored is not None else None
    return fact.limit if isinstance(fact, LimitChanged) else None


class Gate:
    """Stamps first facts, also with the deadline and the hooks that follow from their function.

    With a limit on the environment every function waits for admission.
    """

    def __init__(self, names: Names, log: JetStreamLog, registry: Registry) -> None:
        self._log = log
        self._registry = registry
        self._subject = names.system_subject(KIND, ENVIRONMENT)
        self._position = 0
        self.environment_limit: int | None = None

    async def open(self) -> None:
        """Learn whether the environment has a limit. Raises Unavailable."""
        stored = await self._log.read_system(KIND, ENVIRONMENT)
        if stored is not None:
            self.learn(stored.sequence, stored.data)

    async def watch(self) -> None:
        """Keep up with changes, for ever."""
        async for batch in self._log.follow(self._position, self._subject):
            for entry in batch:
                self.learn(entry.sequence, entry.data)

    def learn(self, sequence: int, data: bytes) -> None:
        """One `limit_changed` of the environment."""
        fact = decode_system_fact(data)
        if isinstance(fact, LimitChanged) and sequence > self._position:
            self._position, self.environment_limit = sequence, fact.limit

    def stamp(self, fact: Enqueued, stored: bytes | None = None) -> Enqueued:
        """The fact as flow control wants it; `stored` is what goes to the object store in place of the arguments.

        Raises Rejected `invalid_arguments` or `invalid_event` when a key cannot be had from it.
        """
        spec = self._registry.get(fact.function)
        fact = _with_hooks(spec, _with_deadline(spec, fact))
        if spec is None or not (spec.is_gated or self.environment_limit is not None):
            return fact
        if spec.flow.fifo and fact.priority:
            raise Rejected("invalid_option", f"{spec.name} is fifo: it keeps the order, so a call has no priority.")
        if fact.members:
            # A batch that runs again: its keys are those of its members.
            return replace(fact, gated=True)
        if spec.flow.batch is not None:
            _check_member(spec, spec.flow.batch, fact)
        if fact.arguments_ref is not None and stored is None:
            # A rerun of large arguments: what its first run came to holds for it too.
            return replace(fact, gated=True)
        return replace(fact, gated=True, keys=keys_of(spec, fact, stored))

    def stamp_tick(self, fact: Enqueued) -> Enqueued:
        """The same for a tick, which must not be lost for want of a key: it then counts under the empty one."""
        try:
            return self.stamp(fact)
        except Rejected as refusal:
            logger.warning("tick_without_key", function=fact.function, detail=refusal.detail)
            spec = self._registry.get(fact.function)
            return replace(_with_hooks(spec, _with_deadline(spec, fact)), gated=True, priority=0)


def _with_deadline(spec: FunctionSpec | None, fact: Enqueued) -> Enqueued:
    """The function's own `total_timeout` holds for calls that bring none; a delay does not count."""
    if spec is None or spec.total_timeout is None or fact.deadline_at is not None:
        return fact
    return replace(fact, deadline_at=(fact.run_at or fact.at) + round(spec.total_timeout * 1_000_000))


def _with_hooks(spec: FunctionSpec | None, fact: Enqueued) -> Enqueued:
    """What ends the execution finds its hooks in the log, and not in what the function has become since."""
    if spec is None or spec.hooks == NO_HOOKS or fact.members:
        return fact
    return replace(fact, hooks=spec.hooks)


def _check_member(spec: FunctionSpec, batch: Batch, fact: Enqueued) -> None:
    """What one of a batch may not have. It must not spoil the batch for the others."""
    if fact.retries is not None or fact.timeout is not None:
        raise Rejected(
            "invalid_option", f"{spec.name} runs in batches, so a call has no retries or timeout of its own."
        )
    if batch.of_events and fact.event is None:
        raise Rejected("invalid_arguments", f"{spec.name} collects events; publish one instead of calling it.")


def keys_of(spec: FunctionSpec, fact: Enqueued, stored: bytes | None = None) -> dict[str, str]:
    """Label -> value of each key expression. Raises Rejected naming the one that fails."""
    expressions = key_expressions(spec.flow)
    if not expressions:
        return {}
    seen = _variables(fact, stored)
    return {label: _key(spec.name, label, text, seen) for label, text in expressions.items()}


def _variables(fact: Enqueued, stored: bytes | None) -> dict[str, Any]:
    if stored is not None:
        whole = msgspec.json.decode(stored)
        args, kwargs, event = whole["args"], whole["kwargs"], whole.get("event")
    else:
        args, kwargs = msgspec.json.decode(fact.args), msgspec.json.decode(fact.kwargs)
        event = msgspec.json.decode(fact.event) if fact.event is not None else None
    seen = {"args": args, "kwargs": kwargs, "metadata": dict(fact.metadata)}
    if event is not None:
        seen["event"] = {"data": None, "subject": None, "time": None, "extensions": {}, "type": event["name"], **event}
    return seen


def _key(function: str, label: str, expression: str, seen: dict[str, Any]) -> str:
    code = "invalid_event" if "event" in seen else "invalid_arguments"
    what = f"The key of {label} of {function} ({expression[:200]!r})"
    try:
        value = _compiled(expression).execute(seen)
    except Exception as error:
        # The library raises whatever Python raises for the operation at fault.
        short = str(error).partition("\n")[0][:300].rstrip(".")
        raise Rejected(code, f"{what} fails on it: {type(error).__name__}: {short}.") from None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Rejected(code, f"{what} must come to a text or a number, not {type(value).__name__}.")
    text = str(value)
    if len(text) > flow_key_chars_max:
        raise Rejected(code, f"{what} comes to more than {flow_key_chars_max} characters.")
    return text
