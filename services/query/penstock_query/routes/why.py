"""Why an execution does not run, and how full the limits are: from the log, the consumers and the schedulers, now."""

from typing import Any

import msgspec
from litestar import Response, get
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from penstock.domain.errors import Rejected
from penstock.domain.execution.state import Execution, State
from penstock.domain.flow.reason import HOLDERS_MAX, Why
from penstock.jetstream.consumers import FunctionConsumers
from penstock.jetstream.questions import Questions
from penstock.ports import Unavailable
from penstock_query.queries import Query, execution_filter
from penstock_query.routes.answers import AnyRequest, asked, positioned
from penstock_query.shapes import rfc3339
from penstock_query.view import View
from penstock_query.waiting import WaitShape, running_children, undoing, waits_of, why_paused, why_waiting

_decode_why = msgspec.json.Decoder(Why | None)


class WhyShape(msgspec.Struct, kw_only=True):
    """The answer. `rule` is a word for programs; `holders` are executions with the slots that it waits for.

    `waits` is what code that waits has open, with the token of each wait for one.
    """

    id: str
    state: str
    rule: str
    detail: str
    starts_when: str
    target: str | None
    key: str | None
    limit: int | None
    holders: list[str]
    holder_count: int
    position: int | None
    at: str | None
    waits: list[WaitShape]
    sequence: str


def why_routes(
    view: View, questions: Questions, consumers: FunctionConsumers, signing_key: bytes
) -> list[ControllerRouterHandler]:
    """/v1/executions/{id}/why and /v1/limits."""
    reasons = Reasons(view, questions, consumers, signing_key)

    @get("/v1/executions/{execution_id:str}/why", operation_id="getWhy", summary="Say why an execution does not run")
    async def get_why(execution_id: FromPath[str], request: AnyRequest) -> Response[WhyShape]:
        """The rule that holds it back, who has the slots, its place, and what would start it."""
        asked(request).finish()
        state = await view.present(execution_id)
        return positioned(_shape(state, await reasons.of(state), await reasons.waits(state)), state.sequence)

    @get("/v1/limits", operation_id="listLimits", summary="List limits with their use")
    async def list_limits(request: AnyRequest) -> Any:
        """Limits, pauses, and how many executions of each function wait for admission, as a scheduler sees them."""
        asked(request).finish()
        try:
            return msgspec.json.decode(await questions.ask("limits"))
        except Unavailable as error:
            raise Rejected("unavailable", f"The limits are not known at the moment: {error}.") from None

    return [get_why, list_limits]


class Reasons:
    """Finds the reason for each state."""

    def __init__(self, view: View, questions: Questions, consumers: FunctionConsumers, signing_key: bytes) -> None:
        self._view = view
        self._questions = questions
        self._consumers = consumers
        self._signing_key = signing_key

    async def waits(self, state: Execution) -> list[WaitShape]:
        """What it has open, with the states of its children as the view knows them."""
        known: dict[str, str] = {}
        for child in running_children(state):
            found, _ = await self._view.reads.execution(child)
            if found is not None:
                known[child] = str(found.state)
        return waits_of(state, self._signing_key, known)

    async def of(self, state: Execution) -> Why:
        """The reason that holds at this moment."""
        why = await self._reason(state)
        why.detail = undoing(state) + why.detail
        return why

    async def _reason(self, state: Execution) -> Why:
        if state.is_final:
            return Why(rule="final", detail=f"It has ended: {state.state}.", starts_when="Never; rerun it if you like.")
        if state.leader:
            return await self._following(state)
        match state.state:
            case State.RUNNING | State.CANCELLING if state.owner:
                detail = f"Attempt {state.attempt} is {state.state} on runner {state.owner}."
                return Why(rule=str(state.state), detail=detail, starts_when="It has started.")
            case State.WAITING:
                return why_paused(state) if state.paused else why_waiting(state)
            case State.SCHEDULED:
                return Why(
                    rule="scheduled", detail="Its time has not come.", starts_when="Its time comes, or it is moved.",
                    at=state.scheduled_at,
                )  # fmt: skip
            case State.RETRYING:
                code = state.error.code if state.error is not None else "an error"
                return Why(
                    rule="retrying", detail=f"Attempt {state.attempt} ended with {code}; the next one waits a while.",
                    starts_when="The backoff is over.", at=state.scheduled_at,
                )  # fmt: skip
            case _ if state.gated and not state.activation:
                return await self._admission(state)
            case _:
                return await self._runner(state)

    async def _following(self, state: Execution) -> Why:
        """It does not run itself: what does its leader do?"""
        leader, _ = await self._view.execution(state.leader)
        what = {
            "debounce": "It was merged into execution {} of the same key, which came later",
            "singleton": "It follows execution {} of the same key, which had not ended when it came",
            "batch": "It runs as a part of the batch {}",
        }.get(state.join_reason, "It follows execution {}")
        return Why(
            rule="following",
            detail=f"{what.format(leader.id)}; that one is {leader.state}.",
            starts_when="Never by itself: it ends when that one ends, likewise.",
            holders=[leader.id],
            holder_count=1,
            position=None if state.index is None else state.index + 1,
        )

    async def _admission(self, state: Execution) -> Why:
        try:
            found: Why | None = _decode_why.decode(await self._questions.ask("why", state.id.encode()))
        except Unavailable:
            return Why(
                rule="no_scheduler",
                detail="It waits for admission, and no scheduler answers.",
                starts_when="A scheduler is at work: `penstock serve scheduler`.",
            )
        if found is not None:
            return found
        return Why(
            rule="being_admitted",
            detail="Flow control does not hold it back.",
            starts_when="It is being admitted now.",
        )

    async def _runner(self, state: Execution) -> Why:
        """It is runnable: what keeps runners from it?"""
        consumer = await self._consumers.state(state.function)
        if consumer is None:
            return Why(
                rule="no_runner",
                detail=f"No runner has ever had function {state.function}.",
                starts_when="A runner with this function starts.",
            )
        waits = f"{consumer.pending} runnable executions of {state.function} wait"
        if consumer.is_paused:
            return Why(
                rule="function_paused",
                detail=f"{state.function} or its environment is paused; {waits}.",
                starts_when=f"Somebody resumes it: `penstock functions resume {state.function}`, or the environment.",
                target=f"function:{state.function}",
            )
        if consumer.under_way >= consumer.limit > 0:
            holders, count = await self._running(state.function)
            return Why(
                rule="concurrency",
                detail=f"The concurrency of {state.function} ({consumer.limit}) is used up; {waits}.",
                starts_when="One of the holders ends, and those before it have started.",
                target=f"function:{state.function}",
                limit=consumer.limit,
                holders=holders,
                holder_count=max(count, consumer.under_way),
            )
        if not consumer.pulls and not consumer.under_way:
            return Why(
                rule="no_runner",
                detail=f"No runner that is at work has function {state.function}; {waits}.",
                starts_when="A runner with this function starts.",
            )
        if not consumer.pulls:
            holders, count = await self._running(state.function)
            return Why(
                rule="runners_busy",
                detail=f"All runners with {state.function} are busy; {waits}.",
                starts_when="A runner has room, or another one starts.",
                holders=holders,
                holder_count=count,
            )
        return Why(
            rule="being_delivered",
            detail=f"It is on its way to a runner; {waits}, {consumer.under_way} are with runners.",
            starts_when="A runner has received it and has a worker process free.",
        )

    async def _running(self, function: str) -> tuple[list[str], int]:
        wanted = execution_filter(Query([("function", function), ("state", "running")]))
        found = await self._view.reads.executions(wanted, HOLDERS_MAX, None)
        return [each.id for each in found.items], len(found.items)


def _shape(state: Execution, why: Why, waits: list[WaitShape]) -> WhyShape:
    return WhyShape(
        id=state.id,
        state=str(state.state),
        rule=why.rule,
        detail=why.detail,
        starts_when=why.starts_when,
        target=why.target,
        key=why.key,
        limit=why.limit,
        holders=why.holders,
        holder_count=why.holder_count,
        position=why.position,
        at=rfc3339(why.at) if why.at is not None else None,
        waits=waits,
        sequence=f"x:{state.sequence}",
    )
