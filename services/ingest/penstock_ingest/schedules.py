"""HTTP: making, changing, pausing and deleting schedules, and starting ticks by hand."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import uuid_utils
from litestar import HttpMethod
from litestar.handlers import HTTPRouteHandler
from msgspec import Raw
from msgspec.structs import replace

from penstock.domain.errors import Rejected
from penstock.domain.execution.create import Origin
from penstock.domain.function.options import CallOptions, resolve
from penstock.domain.ids import keyed_execution_id, tick_execution_id
from penstock.domain.limits import backfill_ticks_max, tick_arguments_bytes_max
from penstock.domain.schedule import facts as f
from penstock.domain.schedule.decide import LIVE_MAX, backfill_ticks
from penstock.domain.schedule.spec import ScheduleSpec, check_key, make_rule, rfc3339
from penstock.domain.schedule.start import tick_enqueued
from penstock.domain.schedule.state import Schedule
from penstock.domain.schedule.ticks import first_after
from penstock.jetstream.schedules import NewExecution, ScheduleLog
from penstock.ports import Clock, Conflict, Timers, Unavailable
from penstock.service.direct import Call, direct_post
from penstock.service.gate import Gate
from penstock.service.http import json_answer
from penstock.service.problems import Answer
from penstock.wire.calls import ExecutionRequest
from penstock.wire.names import TICK_WAIT, Names
from penstock_ingest.accept import Accepted, Acceptor
from penstock_ingest.drafts import Drafter
from penstock_ingest.executions import accepted_answer, idempotency_key
from penstock_ingest.steering import parse_body

TRIES_MAX = 20
NEXT_TICKS = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ScheduleBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A schedule: the function that each tick starts, and `cron` with a `timezone`, or `every`."""

    function: str
    cron: str | None = None
    every: str | float | None = None
    timezone: str | None = None
    args: Raw = Raw(b"[]")
    kwargs: Raw = Raw(b"{}")
    metadata: dict[str, str] = {}
    catch_up: str = "latest"
    overlap: str = "allow"
    jitter: str | float | None = None


class ScheduleExample(msgspec.Struct):
    """The same for the document: arguments are any JSON."""

    function: str
    cron: str | None = None
    every: str | None = None
    timezone: str = "UTC"
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    catch_up: str = "latest"
    overlap: str = "allow"
    jitter: str | None = None


class BackfillBody(msgspec.Struct, forbid_unknown_fields=True):
    """A span of the past with both ends, as RFC 3339 instants."""

    start: str = msgspec.field(name="from")
    to: str


class EmptyBody(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing."""


class ScheduleAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The schedule after the write; `sequence` is its position. `ticks` is how many a backfill makes up for."""

    key: str
    function: str
    state: str
    sequence: str
    next_ticks: list[str]
    ticks: int | None = None


class ScheduleRoutes:
    """`/v1/schedules/{key}` and what can be done to it."""

    def __init__(
        self,
        names: Names,
        schedules: ScheduleLog,
        timers: Timers,
        drafter: Drafter,
        acceptor: Acceptor,
        gate: Gate,
        clock: Clock,
    ) -> None:
        self._names = names
        self._schedules = schedules
        self._timers = timers
        self._drafter = drafter
        self._acceptor = acceptor
        self._gate = gate
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        path, answer = "/v1/schedules/{key}", ScheduleAnswer
        return [
            direct_post(
                path, self.put, operation_id="putSchedule", summary="Make a schedule, or change it.", status=200,
                body=ScheduleExample, answer=answer, method=HttpMethod.PUT,
                example={"function": "weekly_brief", "cron": "0 8 * * MON", "timezone": "Europe/Paris"},
            ),
            direct_post(
                path, self.delete, operation_id="deleteSchedule", summary="Delete a schedule; its ticks stay listed.",
                status=200, body=EmptyBody, answer=answer, method=HttpMethod.DELETE,
            ),
            direct_post(
                f"{path}/pause", self.pause, operation_id="pauseSchedule", status=200, body=EmptyBody, answer=answer,
                summary="Skip its ticks until it is resumed.", example={},
            ),
            direct_post(
                f"{path}/resume", self.resume, operation_id="resumeSchedule", status=200, body=EmptyBody,
                answer=answer, summary="Let it tick again from now on.", example={},
            ),
            direct_post(
                f"{path}/trigger", self.trigger, operation_id="triggerSchedule", body=EmptyBody, answer=Accepted,
                summary="Start an execution now, besides its ticks.", example={},
            ),
            direct_post(
                f"{path}/backfill", self.backfill, operation_id="backfillSchedule", body=BackfillBody, answer=answer,
                summary="Make up for the ticks of a span, by the expression that held at each time.",
                example={"from": "2027-01-01T00:00:00Z", "to": "2027-01-31T00:00:00Z"},
            ),
        ]  # fmt: skip

    def _require_keys(self, key: str, spec: ScheduleSpec, now: int) -> None:
        """Every tick has the same arguments: a key of flow control that fails on them fails now, and not then."""
        sample = tick_enqueued(key, tick_execution_id(self._names.environment, key, now), now, spec, now)
        try:
            self._gate.stamp(sample)
        except Rejected as refusal:
            raise Rejected("invalid_arguments", refusal.detail) from None

    async def put(self, call: Call) -> Answer:
        key, body = check_key(call.value), parse_body(call, ScheduleBody)
        now = self._clock()
        rule = make_rule(
            now, cron=body.cron, every=body.every, timezone=body.timezone, catch_up=body.catch_up,
            overlap=body.overlap, jitter=body.jitter,
        )  # fmt: skip
        size = len(bytes(body.args)) + len(bytes(body.kwargs))
        if size > tick_arguments_bytes_max:
            detail = f"The arguments have {size} bytes; a schedule takes at most {tick_arguments_bytes_max}."
            raise Rejected("payload_too_large", detail, limit=tick_arguments_bytes_max)
        # Drafted as a call would be, so that mistakes show now and not at the first tick.
        request = ExecutionRequest(body.args, body.kwargs, CallOptions(metadata=body.metadata))
        self._drafter.draft(self._drafter.function(body.function), request, Origin())
        spec = ScheduleSpec(
            function=body.function, rule=rule, args=body.args, kwargs=body.kwargs, metadata=body.metadata
        )
        self._require_keys(key, spec, now)

        def decide(state: Schedule | None) -> f.AnyScheduleFact | None:
            if state is not None and state.spec is not None:
                _require_own(state)
                if state.spec.same_as(spec):
                    return None
            return f.SchedulePut(at=now, key=key, spec=spec)

        return self._answer(await self._change(key, decide))

    async def delete(self, call: Call) -> Answer:
        def decide(state: Schedule | None) -> f.AnyScheduleFact | None:
            _require_own(_known(state, call.value))
            return f.ScheduleDeleted(at=self._clock(), key=call.value)

        before = _known(await self._schedules.read(_key(call)), call.value)
        return self._answer(await self._change(call.value, decide), before)

    async def pause(self, call: Call) -> Answer:
        parse_body(call, EmptyBody)

        def decide(state: Schedule | None) -> f.AnyScheduleFact | None:
            known = _known(state, call.value)
            return None if known.is_paused else f.SchedulePaused(at=self._clock(), key=known.key)

        return self._answer(await self._change(_key(call), decide))

    async def resume(self, call: Call) -> Answer:
        parse_body(call, EmptyBody)

        def decide(state: Schedule | None) -> f.AnyScheduleFact | None:
            known = _known(state, call.value)
            return f.ScheduleResumed(at=self._clock(), key=known.key) if known.is_paused else None

        return self._answer(await self._change(_key(call), decide))

    async def backfill(self, call: Call) -> Answer:
        body = parse_body(call, BackfillBody)
        start, end, now = _instant(body.start, "/from"), _instant(body.to, "/to"), self._clock()
        if not start <= end <= now:
            where = [("/to", "not between `from` and now")]
            raise Rejected("invalid_option", "`from` must not be after `to`, and `to` not after now.", pointers=where)
        count = 0

        def decide(state: Schedule | None) -> f.AnyScheduleFact | None:
            nonlocal count
            count = len(backfill_ticks(_known(state, call.value), start - 1, end, backfill_ticks_max + 1))
            if count > backfill_ticks_max:
                detail = f"The span holds more than {backfill_ticks_max} ticks; ask for a shorter one."
                raise Rejected("invalid_option", detail, limit=backfill_ticks_max)
            return f.BackfillRequested(at=now, key=call.value, start=start, end=end) if count else None

        state = await self._change(_key(call), decide, wake_at=now)
        return json_answer(202, replace(self._view(state), ticks=count))

    async def trigger(self, call: Call) -> Answer:
        parse_body(call, EmptyBody)
        given = idempotency_key(call)
        resolve(CallOptions(idempotency_key=given), 0)
        for _ in range(TRIES_MAX):
            state = _known(await self._schedules.read(_key(call)), call.value)
            assert state.spec is not None
            execution_id = uuid_utils.uuid7().hex
            if given is not None:
                execution_id = keyed_execution_id(self._names.environment, f"trigger {state.key}", given)
            now = self._clock()
            fact = tick_enqueued(state.key, execution_id, now, state.spec, now)
            entry = f.LedgerEntry(tick=now, outcome="fired", reason="triggered", execution_id=execution_id)
            cursor = state.cursor
            if state.spec.rule.overlap != "allow":
                cursor = replace(cursor, live=[*cursor.live, execution_id][-LIVE_MAX:])
            ticked = f.Ticked(at=now, key=state.key, entries=[entry], cursor=cursor, wakes_at=state.wakes_at)
            made = [NewExecution(execution_id, fact)]
            try:
                sequence, _ = await self._schedules.append(state.key, ticked, state.sequence, made)
            except Conflict:
                known = await self._acceptor.known(execution_id) if given is not None else None
                if known is not None:
                    return accepted_answer(known)
                continue
            answer = self._acceptor.accepted(execution_id, fact.trace_id, "queued", sequence + 1)
            return accepted_answer(answer)
        raise Unavailable(f"schedule {call.value} was changed by others {TRIES_MAX} times in a row")

    async def _change(
        self,
        key: str,
        decide: Callable[[Schedule | None], f.AnyScheduleFact | None],
        wake_at: int | None = None,
    ) -> Schedule:
        """Read, decide, append, and again when it moved on; then its wake-up. None from `decide`: nothing to do."""
        for _ in range(TRIES_MAX):
            state = await self._schedules.read(key)
            fact = decide(state)
            try:
                after = state if fact is None else await self._schedules.change(key, state, fact)
            except Conflict:
                continue
            assert after is not None
            token, due_at = self._names.schedule_token(key), wake_at or after.wakes_at
            if after.spec is not None and due_at is not None:
                await self._timers.set(token, TICK_WAIT, due_at)
            elif fact is not None:
                await self._timers.clear(token, TICK_WAIT)
            return after
        raise Unavailable(f"schedule {key} was changed by others {TRIES_MAX} times in a row")

    def _answer(self, state: Schedule, before: Schedule | None = None) -> Answer:
        return json_answer(200, self._view(state, before))

    def _view(self, state: Schedule, before: Schedule | None = None) -> ScheduleAnswer:
        spec = state.spec or (before.spec if before is not None else None)
        standing = "deleted" if state.spec is None else "paused" if state.is_paused else "active"
        coming = first_after(state.spec.rule.ticks, self._clock(), NEXT_TICKS) if state.spec is not None else []
        return ScheduleAnswer(
            key=state.key,
            function=spec.function if spec is not None else "",
            state=standing,
            sequence=f"x:{state.sequence}",
            next_ticks=[] if state.is_paused else [rfc3339(tick) for tick in coming],
        )


def _key(call: Call) -> str:
    """The key of the path; one that can be no key is unknown. Raises Rejected `unknown_schedule`."""
    try:
        return check_key(call.value)
    except Rejected:
        raise _unknown(call.value) from None


def _known(state: Schedule | None, key: str) -> Schedule:
    if state is None or state.spec is None:
        raise _unknown(key)
    return state


def _unknown(key: str) -> Rejected:
    return Rejected("unknown_schedule", f"There is no schedule {key[:80]!r}.")


def _require_own(state: Schedule) -> None:
    if state.spec is not None and state.spec.app:
        raise Rejected(
            "wrong_state",
            f"Schedule {state.key} is declared in the code of app {state.spec.app}: change it there, or pause it.",
            state="paused" if state.is_paused else "active",
        )


def _instant(text: str, pointer: str) -> int:
    try:
        instant = msgspec.convert(text, datetime)
        if instant.tzinfo is None:
            raise ValueError(text)
    except (msgspec.ValidationError, ValueError):
        detail = f"{pointer[1:]} must be an RFC 3339 instant such as 2027-01-31T08:00:00Z, not {text[:80]!r}."
        raise Rejected("invalid_option", detail, pointers=[(pointer, "no instant")]) from None
    return (instant - _EPOCH) // timedelta(microseconds=1)
