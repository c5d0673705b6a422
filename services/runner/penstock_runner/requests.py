"""What user code asks of the runner while it runs: actions of its own history, and looks at other executions."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw

from penstock.defer.shapes import execution_shape
from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import AnyCommand, RequestCancel, Reschedule, Resume
from penstock.domain.execution.create import Origin, enqueued, link_to, rerun_carried, same_time
from penstock.domain.execution.facts import Enqueued, Succeeded
from penstock.domain.execution.messages import message_command
from penstock.domain.function.options import CallOptions, resolve
from penstock.handle import fold_recorded
from penstock.jetstream.objects import Payloads
from penstock.ports import Clock, Dice, ExecutionLog, Loaded, Recorded, Timers, Unavailable
from penstock.service.restart import store_inherited
from penstock.wire.names import START_WAIT
from penstock_runner.activity import Activity, until_answered
from penstock_runner.children import Children
from penstock_runner.durable import Durable
from penstock_runner.others import Others
from penstock_runner.workers.assignment import Request, Respond
from penstock_runner.workers.messages import Answer, Ask, Do

LOOK_SECONDS_MIN, LOOK_SECONDS_MAX = 0.02, 1.0


class Requests:
    """Answers to running attempts. Everything it confirms is durable."""

    def __init__(
        self,
        log: ExecutionLog,
        timers: Timers,
        payloads: Payloads,
        children: Children,
        durable: Durable,
        others: Others,
        clock: Clock,
        dice: Dice,
    ) -> None:
        self._log = log
        self._timers = timers
        self._payloads = payloads
        self._children = children
        self._durable = durable
        self._others = others
        self._clock = clock
        self._dice = dice

    def responder(self, activity: Activity, confirm: Callable[[Activity], Awaitable[None]]) -> Respond:
        """What answers the requests of this attempt; `confirm` is called before each answer, and may stop it."""

        async def respond(request: Request) -> Answer:
            try:
                body = await self._answer(activity, request)
            except Rejected as refusal:
                members = msgspec.json.encode(refusal.members.get("failure"))
                return Answer(request.number, request.call, members, refusal.code, refusal.detail)
            except TimeoutError as error:
                return Answer(request.number, request.call, code="timeout", detail=str(error))
            finally:
                await confirm(activity)
            return Answer(request.number, request.call, body)

        return respond

    async def _answer(self, activity: Activity, request: Request) -> bytes:
        match request:
            case Do():
                return await self._durable.do(activity, request.action)
            case Ask():
                return await self._ask(request)

    # Questions about other executions.
    async def _ask(self, request: Ask) -> bytes:
        body: dict[str, Any] = msgspec.json.decode(request.body)
        execution_id = request.execution_id
        match request.operation:
            case "result":
                return await self._result(execution_id, body.get("timeout"))
            case "state":
                return msgspec.json.encode(str((await self._loaded(execution_id)).state.state))
            case "defer":
                return msgspec.json.encode(execution_shape((await self._loaded(execution_id)).state))
            case "cancel":
                command = RequestCancel(force=bool(body.get("force")), attempts_max=body.get("attempts_max"))
                await self._handle(execution_id, command)
                return b"null"
            case "reschedule":
                return await self._reschedule(execution_id, body.get("delay"), or_discard=bool(body.get("or_discard")))
            case "rerun":
                return msgspec.json.encode(await self._rerun(execution_id, body.get("from_step")))
            case "resume":
                await self._handle(execution_id, Resume())
                return b"null"
            case "message":
                name = body["id"] if body["id"] is not None else self._children.new_id()
                content = Raw(msgspec.json.encode(body["body"]))
                await self._handle(execution_id, message_command(content, body["channel"], name))
                return msgspec.json.encode(name)
            case _:
                raise Rejected("invalid_option", f"There is no operation {request.operation!r}.")

    async def _handle(self, execution_id: str, command: AnyCommand) -> None:
        state = (await self._loaded(execution_id)).state
        await self._others.carry_out(execution_id, command, state.function, state)

    async def _loaded(self, execution_id: str) -> Loaded:
        function = await until_answered(lambda: self._log.function_of(execution_id))
        found = await until_answered(partial(self._log.load, execution_id, function)) if function is not None else None
        if found is None:
            raise Rejected("unknown_execution", f"There is no execution {execution_id}.")
        return found

    async def _found(self, execution_id: str) -> list[Recorded]:
        recorded = await until_answered(lambda: self._log.find(execution_id))
        if not recorded:
            raise Rejected("unknown_execution", f"There is no execution {execution_id}.")
        return recorded

    async def _reschedule(self, execution_id: str, delay: float | None, *, or_discard: bool) -> bytes:
        run_at = None if delay is None else self._clock() + round(delay * 1_000_000)
        await self._handle(execution_id, Reschedule(run_at=run_at, or_discard=or_discard))
        if run_at is not None:
            await until_answered(lambda: self._timers.set(execution_id, START_WAIT, run_at))
        return b"null"

    async def _rerun(self, execution_id: str, from_step: str | None) -> str:
        recorded = await self._found(execution_id)
        first = recorded[0].fact
        if not isinstance(first, Enqueued):
            raise Rejected("unknown_execution", f"The beginning of execution {execution_id} is not there any more.")
        now = self._clock()
        options = resolve(CallOptions(metadata=first.metadata, priority=first.priority, retries=first.retries), now)
        options = msgspec.structs.replace(options, timeout=first.timeout, deadline_at=same_time(first, now))
        origin = Origin(
            carried=rerun_carried(first), links=[link_to(first, execution_id)],
            event=first.event, event_id=first.event_id, rerun_of=execution_id,
        )  # fmt: skip
        new_id = self._children.new_id()
        fact = enqueued(new_id, first.function, first.args, first.kwargs, options, now, origin, first.arguments_ref)
        fact = msgspec.structs.replace(fact, keys=first.keys, members=first.members, policy=first.policy)
        if from_step is not None:
            step = from_step
            ref = await until_answered(lambda: store_inherited(recorded, step, new_id, self._payloads))
            fact = msgspec.structs.replace(fact, inherited_ref=ref, restarted_from=step)
        return await until_answered(lambda: self._children.create(fact, new_id))

    async def _result(self, execution_id: str, timeout: float | None) -> bytes:
        state = (await self._loaded(execution_id)).state
        pause, deadline = LOOK_SECONDS_MIN, None if timeout is None else self._clock() + timeout * 1_000_000
        while not state.is_final:
            if deadline is not None and self._clock() >= deadline:
                raise TimeoutError(f"Execution {execution_id} has not ended within {timeout:g} seconds.")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LOOK_SECONDS_MAX)
            with suppress(Unavailable):
                newer = await self._log.read(execution_id, state.function, after=state.sequence)
                state = fold_recorded(newer, state) or state
        read_last = partial(self._log.read, execution_id, state.function, after=state.sequence - 1)
        last = (await until_answered(read_last))[-1].fact
        if isinstance(last, Succeeded):
            if last.result_ref is None:
                return bytes(last.result)
            return await until_answered(partial(self._payloads.get, last.result_ref))
        assert state.error is not None
        failure = {
            "execution_id": execution_id,
            "state": str(state.state),
            "code": state.error.code,
            "type": state.error.type,
            "message": state.error.message,
            "stack": state.error.stack,
        }
        raise Rejected(state.error.code, state.error.message, failure=failure)
