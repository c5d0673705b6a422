"""What user code asks of the runner while it runs: steps stored, executions made, other executions looked at."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import msgspec
import structlog
import uuid_utils
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import CompleteStep, RequestCancel, Reschedule
from penstock.domain.execution.commands import Enqueue as EnqueueCommand
from penstock.domain.execution.create import Origin, arguments_hash, enqueued
from penstock.domain.execution.facts import Enqueued, Succeeded
from penstock.domain.function.options import CallOptions, resolve
from penstock.domain.ids import keyed_execution_id, span_id
from penstock.domain.limits import arguments_bytes_max, payload_inline_bytes_max, steps_per_execution_max
from penstock.domain.trace import SpanContext
from penstock.handle import fold_recorded, handle
from penstock.jetstream.objects import Payloads
from penstock.jetstream.registry import FunctionRegistry
from penstock.ports import Clock, Dice, ExecutionLog, Recorded, Timers, Unavailable
from penstock.service.gate import Gate
from penstock.wire.names import START_WAIT
from penstock_runner.activity import Activity
from penstock_runner.workers.assignment import Request, Respond
from penstock_runner.workers.messages import Answer, Ask, Enqueue, StepDone

logger = structlog.get_logger("penstock")
T = TypeVar("T")

LOOK_SECONDS_MIN, LOOK_SECONDS_MAX = 0.02, 1.0
RETRY_SECONDS = 0.5


async def until_answered(act: Callable[[], Awaitable[T]]) -> T:
    """What `act` answers, tried again while the log is away: that is no fault of user code, and must not fail it.

    The attempt's time-out still holds. `act` may be carried out twice, so it has to mean the same thing each time.
    """
    while True:
        try:
            return await act()
        except Unavailable as error:
            logger.warning("request_waits", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)


class Requests:
    """Answers to running attempts. Everything it confirms is durable."""

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
            case StepDone():
                await self._complete_step(activity, request)
                return b"null"
            case Enqueue():
                return msgspec.json.encode(await self._enqueue(activity, request))
            case Ask():
                return await self._ask(request)

    async def _complete_step(self, activity: Activity, request: StepDone) -> None:
        if len(activity.state.steps) >= steps_per_execution_max:
            raise Rejected("invalid_option", f"An execution has at most {steps_per_execution_max} steps.")
        result, ref = Raw(request.result), None
        if len(request.result) > payload_inline_bytes_max:
            ref = name = f"{activity.state.id}-step-{activity.state.n + 1}-{request.call}"
            await until_answered(lambda: self._payloads.put(name, request.result))
            result = Raw(b"null")
        command = CompleteStep(
            activation=activity.activation,
            step=request.step,
            started_at=request.started_at,
            result=result,
            result_ref=ref,
        )
        await activity.carry_out(self._log, command, self._clock, self._dice)

    async def _enqueue(self, activity: Activity, request: Enqueue) -> str:
        spec = self._registry.get(request.function)
        if spec is None:
            near = self._registry.near(request.function)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise Rejected("unknown_function", f"No runner has declared a function {request.function!r}.{hint}")
        now, parent = self._clock(), activity.state
        options = resolve(msgspec.json.decode(request.options, type=CallOptions), now)
        execution_id = self._new_id()
        if options.idempotency_key is not None:
            execution_id = keyed_execution_id(self._environment, spec.name, options.idempotency_key)
        span = SpanContext(parent.trace_id, span_id(parent.id, "attempt", str(parent.attempt)))
        origin = Origin(caller=span, parent_id=parent.id, root_id=parent.root_id or parent.id)
        args, kwargs = Raw(request.args), Raw(request.kwargs)
        ref = await until_answered(lambda: self._store_arguments(execution_id, args, kwargs))
        fact = enqueued(execution_id, spec.name, args, kwargs, options, now, origin, ref)
        stored = _stored(args, kwargs) if ref is not None else None
        return await until_answered(lambda: self._create(fact, execution_id, stored))

    async def _store_arguments(self, execution_id: str, args: Raw, kwargs: Raw) -> str | None:
        size = len(bytes(args)) + len(bytes(kwargs))
        if size > arguments_bytes_max:
            raise Rejected("payload_too_large", f"Arguments of {size} bytes; at most {arguments_bytes_max} are taken.")
        if size <= payload_inline_bytes_max:
            return None
        ref = f"arguments-{execution_id}-{arguments_hash(args, kwargs)}"
        await self._payloads.put(ref, _stored(args, kwargs))
        return ref

    async def _create(self, fact: Enqueued, execution_id: str, stored: bytes | None = None) -> str:
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

    def _new_id(self) -> str:
        return uuid_utils.uuid7().hex

    # Questions about other executions.
    async def _ask(self, request: Ask) -> bytes:
        body: dict[str, Any] = msgspec.json.decode(request.body)
        execution_id = request.execution_id
        match request.operation:
            case "result":
                return await self._result(execution_id, body.get("timeout"))
            case "state":
                state = fold_recorded(await self._found(execution_id))
                return msgspec.json.encode(str(state.state) if state is not None else None)
            case "cancel":
                await self._handle(execution_id, RequestCancel(force=bool(body.get("force"))))
                return b"null"
            case "reschedule":
                return await self._reschedule(execution_id, body.get("delay"))
            case "rerun":
                return msgspec.json.encode(await self._rerun(execution_id))
            case _:
                raise Rejected("invalid_option", f"There is no operation {request.operation!r}.")

    async def _handle(self, execution_id: str, command: RequestCancel | Reschedule) -> None:
        recorded = await self._found(execution_id)
        state = fold_recorded(recorded)
        function = recorded[0].function
        await until_answered(
            lambda: handle(self._log, execution_id, command, self._clock, self._dice, function=function, state=state)
        )

    async def _found(self, execution_id: str) -> list[Recorded]:
        recorded = await until_answered(lambda: self._log.find(execution_id))
        if not recorded:
            raise Rejected("unknown_execution", f"There is no execution {execution_id}.")
        return recorded

    async def _reschedule(self, execution_id: str, delay: float | None) -> bytes:
        run_at = None if delay is None else self._clock() + round(delay * 1_000_000)
        await self._handle(execution_id, Reschedule(run_at=run_at))
        if run_at is not None:
            await until_answered(lambda: self._timers.set(execution_id, START_WAIT, run_at))
        return b"null"

    async def _rerun(self, execution_id: str) -> str:
        first = (await self._found(execution_id))[0].fact
        if not isinstance(first, Enqueued):
            raise Rejected("unknown_execution", f"The beginning of execution {execution_id} is not there any more.")
        now = self._clock()
        options = resolve(CallOptions(metadata=first.metadata, priority=first.priority, retries=first.retries), now)
        options = msgspec.structs.replace(options, timeout=first.timeout)
        origin = Origin(event=first.event, event_id=first.event_id, rerun_of=execution_id)
        new_id = self._new_id()
        fact = enqueued(new_id, first.function, first.args, first.kwargs, options, now, origin, first.arguments_ref)
        fact = msgspec.structs.replace(fact, keys=first.keys)
        return await until_answered(lambda: self._create(fact, new_id))

    async def _result(self, execution_id: str, timeout: float | None) -> bytes:
        recorded = await self._found(execution_id)
        pause, deadline = LOOK_SECONDS_MIN, None if timeout is None else self._clock() + timeout * 1_000_000
        while True:
            state = fold_recorded(recorded)
            if state is not None and state.is_final:
                break
            if deadline is not None and self._clock() >= deadline:
                raise TimeoutError(f"Execution {execution_id} has not ended within {timeout:g} seconds.")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LOOK_SECONDS_MAX)
            with suppress(Unavailable):
                recorded = await self._log.read(execution_id, recorded[0].function)
        last = recorded[-1].fact
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


def _stored(args: Raw, kwargs: Raw) -> bytes:
    return b'{"args":' + bytes(args) + b',"kwargs":' + bytes(kwargs) + b"}"
