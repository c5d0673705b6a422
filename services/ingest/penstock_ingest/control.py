"""HTTP: cancelling, moving and resuming executions."""

import msgspec
from litestar.handlers import HTTPRouteHandler

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import RequestCancel, Reschedule, Resume
from penstock.domain.execution.facts import Rescheduled
from penstock.domain.function.options import CallOptions, ResolvedOptions, resolve
from penstock.ports import Clock, Timers
from penstock.service.direct import Call, direct_post
from penstock.service.problems import Answer
from penstock.wire.names import START_WAIT
from penstock_ingest.accept import Accepted
from penstock_ingest.steering import Steering, parse_body


class CancelBody(msgspec.Struct, forbid_unknown_fields=True):
    """`force` leaves a running attempt no time to clean up."""

    force: bool = False


class RescheduleBody(msgspec.Struct, forbid_unknown_fields=True):
    """A new start: an instant (RFC 3339) or a delay from now; neither means now."""

    at: str | None = None
    delay: str | float | None = None


class ResumeBody(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing: what made it fail has been mended."""


class ControlRoutes:
    """`POST /v1/executions/{id}/cancel`, `/reschedule` and `/resume`."""

    def __init__(self, steering: Steering, timers: Timers, clock: Clock) -> None:
        self._steering = steering
        self._timers = timers
        self._clock = clock

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
                "/v1/executions/{id}/resume", self.resume, operation_id="resumeExecution",
                summary="Let an execution that paused on failure go on with its next attempt.",
                body=ResumeBody, answer=Accepted, example={},
            ),
        ]  # fmt: skip

    async def cancel(self, call: Call) -> Answer:
        body = parse_body(call, CancelBody)
        handled = await self._steering.carry_out(call.value, RequestCancel(force=body.force))
        await self._steering.tell(handled)
        return self._steering.answer(handled)

    async def reschedule(self, call: Call) -> Answer:
        body = parse_body(call, RescheduleBody)
        resolved = _resolve_start(body, self._clock())
        handled = await self._steering.carry_out(call.value, Reschedule(run_at=resolved.run_at))
        for fact in handled.facts:
            if isinstance(fact, Rescheduled):
                await self._timers.set(handled.state.id, START_WAIT, fact.run_at)
        return self._steering.answer(handled)

    async def resume(self, call: Call) -> Answer:
        parse_body(call, ResumeBody)
        return self._steering.answer(await self._steering.carry_out(call.value, Resume()))


def _resolve_start(body: RescheduleBody, now: int) -> ResolvedOptions:
    """The options of a call mean the same here, but they stand at the top of the body."""
    try:
        return resolve(CallOptions(at=body.at, delay=body.delay), now)
    except Rejected as refusal:
        pointers = [(pointer.removeprefix("/options"), text) for pointer, text in refusal.pointers]
        raise Rejected(refusal.code, refusal.detail, pointers=pointers) from None
