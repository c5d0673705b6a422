"""HTTP: cancelling, moving and rerunning executions."""

from typing import TypeVar

import msgspec
import uuid_utils
from litestar.handlers import HTTPRouteHandler
from msgspec.structs import replace

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import AnyCommand, RequestCancel, Reschedule
from penstock.domain.execution.create import Origin, enqueued
from penstock.domain.execution.facts import CancelRequested, Enqueued, Rescheduled
from penstock.domain.function.options import CallOptions, ResolvedOptions, resolve
from penstock.domain.ids import is_execution_id, keyed_execution_id
from penstock.domain.trace import parse_traceparent
from penstock.handle import Handled, handle
from penstock.jetstream.inbox import Hints
from penstock.ports import Clock, Dice, ExecutionLog, Timers
from penstock.service.direct import Call, direct_post
from penstock.service.problems import Answer
from penstock.wire.names import START_WAIT
from penstock_ingest.accept import Accepted, Acceptor
from penstock_ingest.drafts import Draft, Drafter, decode_strictly
from penstock_ingest.executions import accepted_answer, idempotency_key, require_json


class CancelBody(msgspec.Struct, forbid_unknown_fields=True):
    """`force` leaves a running attempt no time to clean up."""

    force: bool = False


class RescheduleBody(msgspec.Struct, forbid_unknown_fields=True):
    """A new start: an instant (RFC 3339) or a delay from now; neither means now."""

    at: str | None = None
    delay: str | float | None = None


class RerunBody(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing: the same function with the same arguments runs again, as a new execution."""


Body = TypeVar("Body", bound=msgspec.Struct)


class ControlRoutes:
    """`POST /v1/executions/{id}/cancel`, `/reschedule` and `/rerun`."""

    def __init__(
        self,
        environment: str,
        log: ExecutionLog,
        timers: Timers,
        drafter: Drafter,
        acceptor: Acceptor,
        hints: Hints,
        clock: Clock,
        dice: Dice,
    ) -> None:
        self._environment = environment
        self._log = log
        self._timers = timers
        self._drafter = drafter
        self._acceptor = acceptor
        self._hints = hints
        self._clock = clock
        self._dice = dice

    def handlers(self) -> list[HTTPRouteHandler]:
        return [
            direct_post(
                "/v1/executions/{id}/cancel", self.cancel, operation_id="cancelExecution",
                summary="Cancel; a running execution is `cancelling` until its attempt has stopped.",
                body=CancelBody, answer=Accepted, example={"force": False},
            ),
            direct_post(
                "/v1/executions/{id}/reschedule", self.reschedule, operation_id="rescheduleExecution",
                summary="Move the start of an execution that has not started; {} means now.",
                body=RescheduleBody, answer=Accepted, example={"delay": "5m"},
            ),
            direct_post(
                "/v1/executions/{id}/rerun", self.rerun, operation_id="rerunExecution",
                summary="Run the same again as a new execution.",
                body=RerunBody, answer=Accepted, example={},
            ),
        ]  # fmt: skip

    async def cancel(self, call: Call) -> Answer:
        body = parse_body(call, CancelBody)
        handled = await self._carry_out(call.value, RequestCancel(force=body.force))
        if any(isinstance(fact, CancelRequested) for fact in handled.facts) and handled.state.owner:
            await self._hints.cancel(handled.state.owner, handled.state.id)
        return self._answer(handled)

    async def reschedule(self, call: Call) -> Answer:
        body = parse_body(call, RescheduleBody)
        resolved = _resolve_start(body, self._clock())
        handled = await self._carry_out(call.value, Reschedule(run_at=resolved.run_at))
        for fact in handled.facts:
            if isinstance(fact, Rescheduled):
                await self._timers.set(handled.state.id, START_WAIT, fact.run_at)
        return self._answer(handled)

    async def rerun(self, call: Call) -> Answer:
        parse_body(call, RerunBody)
        recorded = await self._log.find(_execution_id(call.value))
        first = recorded[0].fact if recorded else None
        if not isinstance(first, Enqueued):
            raise _unknown(call.value)
        spec = self._drafter.function(first.function)
        key = idempotency_key(call)
        resolve(CallOptions(idempotency_key=key), 0)
        options = ResolvedOptions(
            run_at=None,
            discard_at=None,
            metadata=first.metadata,
            idempotency_key=key,
            priority=first.priority,
            retries=first.retries,
            timeout=first.timeout,
        )
        origin = Origin(
            caller=parse_traceparent(call.header(b"traceparent")),
            event=first.event,
            event_id=first.event_id,
            rerun_of=call.value,
        )
        new_id = uuid_utils.uuid7().hex
        if key is not None:
            # A scope of its own: the key of a call and the key of a rerun never mean the same execution.
            new_id = keyed_execution_id(self._environment, f"rerun {call.value}", key)
        fact = enqueued(
            new_id, spec.name, first.args, first.kwargs, options, self._clock(), origin, first.arguments_ref
        )
        fact = replace(fact, keys=first.keys)
        return accepted_answer(await self._acceptor.accept(Draft(new_id, fact)))

    async def _carry_out(self, execution_id: str, command: AnyCommand) -> Handled:
        try:
            return await handle(self._log, _execution_id(execution_id), command, self._clock, self._dice)
        except Rejected as refusal:
            raise _unknown(execution_id) if refusal.code == "unknown_execution" else refusal from None

    def _answer(self, handled: Handled) -> Answer:
        state = handled.state
        return accepted_answer(self._acceptor.accepted(state.id, state.trace_id, state.state, state.sequence))


def parse_body(call: Call, kind: type[Body]) -> Body:
    """The body of a request whose members are options; none is the same as `{}`. Raises Rejected."""
    require_json(call)
    try:
        parsed: Body = decode_strictly(msgspec.json.Decoder(kind), call.body or b"{}")
    except Rejected as refusal:
        code = "invalid_option" if refusal.code == "invalid_arguments" else refusal.code
        raise Rejected(code, refusal.detail, pointers=refusal.pointers, **refusal.members) from None
    return parsed


def _resolve_start(body: RescheduleBody, now: int) -> ResolvedOptions:
    """The options of a call mean the same here, but they stand at the top of the body."""
    try:
        return resolve(CallOptions(at=body.at, delay=body.delay), now)
    except Rejected as refusal:
        pointers = [(pointer.removeprefix("/options"), text) for pointer, text in refusal.pointers]
        raise Rejected(refusal.code, refusal.detail, pointers=pointers) from None


def _execution_id(text: str) -> str:
    if not is_execution_id(text):
        raise _unknown(text)
    return text


def _unknown(execution_id: str) -> Rejected:
    return Rejected("unknown_execution", f"There is no execution {execution_id[:80]!r}.")
