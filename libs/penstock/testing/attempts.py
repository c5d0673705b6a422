"""Runs the code of one activation in a simulation: the worker process and its runner in one, without either."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from penstock.client.errors import ExecutionFailed, PenstockError
from penstock.client.execution import Execution
from penstock.domain.durations import microseconds
from penstock.domain.errors import Rejected
from penstock.domain.execution import commands as c
from penstock.domain.execution.facts import ErrorInfo, Succeeded
from penstock.domain.function.options import CallOptions
from penstock.functions import actions as a
from penstock.functions.async_driver import AsyncDriver
from penstock.functions.context import Context, current_attempt
from penstock.functions.define import App, Function
from penstock.functions.errors import Stopped
from penstock.functions.event import decode_event
from penstock.functions.failures import failure_of
from penstock.functions.history import History
from penstock.functions.operations import Act, Called, Invoke, Operation, Pause, Recall, detach
from penstock.functions.outcomes import outcomes_of
from penstock.functions.sync_driver import SyncDriver
from penstock.functions.values import to_json
from penstock.testing.actions import Actions
from penstock.testing.faults import Faults, RunnerLost
from penstock.testing.surroundings import SimulatedSurroundings
from penstock.testing.worlds import Record, World

RUNNER = "simulation"


class Simulated(Protocol):
    """What an attempt needs of the simulation."""

    app: App
    world: World
    faults: Faults
    replays: bool

    async def settle(self, until: Callable[[], bool] | None = None) -> None:
        """Run what is runnable, here and now."""


class Attempt(SimulatedSurroundings):
    """One activation from its start to its end; the port that its Context speaks through."""

    def __init__(self, simulated: Simulated, record: Record, activation: int) -> None:
        self._simulated = simulated
        self._world = simulated.world
        self.record = record
        self.activation = activation
        self._function: Function[Any, Any] = simulated.app.functions[record.function]
        self._loop = asyncio.get_running_loop()
        self._actions = Actions(simulated.world, record, activation, set(simulated.app.functions))
        self._leaves: str = ""
        self._delivered: set[str] = set()
        self._driver: AsyncDriver | SyncDriver

    async def run(self) -> None:
        """Start, run until it ends, waits or is lost, and record which."""
        start = c.Start(activation=self.activation, runner=RUNNER, version=self._function.spec.version)
        try:
            self._world.carry_out(self.record, start)
        except Rejected:
            return
        if self.record.state.owner != RUNNER:
            return
        while True:
            self._leaves, self._delivered = "", set()
            command = await self._once()
            if self._leaves != "replay":
                break
        if command is not None:
            try:
                self._world.carry_out(self.record, command)
            except Rejected as refusal:
                if refusal.code != "activation_closed":
                    raise

    @property
    def is_over(self) -> bool:
        """Whether its activation is closed, or it is to be cancelled: its code has to leave."""
        state = self.record.state
        return state.activation != self.activation or (state.state == "cancelling" and state.compensating is None)

    def leave(self) -> None:
        """Make code on an event loop leave; what it did since it stored something last is forgotten."""
        driver = getattr(self, "_driver", None)
        if isinstance(driver, AsyncDriver):
            driver.stop(leaves=self.record.state.activation != self.activation or self._leaves != "")

    def put_aside(self) -> None:
        """The same, to run it again from its beginning later."""
        self._leaves = "aside"
        self.leave()

    def notice(self) -> None:
        """Tell the code what is over by now."""
        driver = getattr(self, "_driver", None)
        if isinstance(driver, AsyncDriver) and (news := self._news()):
            driver.learned(news)

    async def _once(self) -> c.AnyCommand | None:
        """Run the code once from its beginning; answers with the command that its end means."""
        state = self._world.with_inherited(self.record)
        known = outcomes_of(state, state.ops, _inline)
        self._delivered.update(key for key, outcome in known.items() if outcome.done)
        history = History(state.id, known, state.started_at or state.updated_at, clock=lambda: self._world.now)
        compensating = state.compensating is not None
        try:
            if self._function.spec.is_async:
                value = await self._run_async(history, compensating)
            else:
                value = await asyncio.to_thread(self._run_sync, history, compensating)
            if compensating:
                return c.FinishCompensation(activation=self.activation)
            history.check_end()
            return c.Succeed(activation=self.activation, result=Raw(to_json(self._function.parameters.result(value))))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            return self._command_of(error)

    def _command_of(self, error: BaseException) -> c.AnyCommand | None:
        if self._leaves:
            return None
        if isinstance(error, RunnerLost):
            return c.LoseAttempt(activation=self.activation)
        state = self.record.state
        if state.cancel_forced or (state.state == "cancelling" and state.compensating is None):
            return c.ConfirmCancel(activation=self.activation)
        failure = failure_of(error)
        return c.Fail(
            activation=self.activation,
            error=ErrorInfo(failure.code, failure.type, failure.message, failure.stack, failure.step, failure.step_at),
            policy=self._function.spec.policy,
            terminal=failure.terminal,
            retry_after=failure.retry_after,
            pause=self._function.spec.pause_on_failure,
        )

    def _call(self, history: History) -> tuple[list[Any], dict[str, Any]]:
        first, state = self.record.first, self.record.state
        parameters = self._function.parameters
        rest, values = parameters.bind(first.args, first.kwargs)
        context = Context(
            self,
            execution_id=state.id,
            attempt=state.attempt,
            function=state.function,
            metadata=state.metadata,
            history=history,
            parent_id=state.parent_id,
            root_id=state.root_id,
            trace_id=state.trace_id,
        )
        event = decode_event(first.event) if first.event is not None else None
        return parameters.fill(rest, values, context, event)

    # Code on an event loop.
    async def _run_async(self, history: History, compensating: bool) -> Any:
        driver = self._driver = AsyncDriver(history, self._do_async, compensating=compensating)

        async def body() -> Any:
            current_attempt.set(self)
            driver.task = asyncio.current_task()  # type: ignore[assignment]
            args, kwargs = self._call(history)
            return await driver.body(self._function.function, args, kwargs)

        return await self._loop.create_task(body())

    async def _do_async(self, action: a.AnyAction) -> Any:
        driver = self._driver
        assert isinstance(driver, AsyncDriver)
        stored = len(self.record.facts)
        answer = self._do(action)
        if isinstance(action, a.CallChildren) and self._simulated.replays:
            stored = len(self.record.facts)
        if self._leaves or (self._simulated.replays and driver.is_quiet and len(self.record.facts) > stored):
            self._leaves = self._leaves or "replay"
            driver.stop(leaves=True)
            raise asyncio.CancelledError
        outcomes = self._news()
        if outcomes:
            driver.learned(outcomes)
        return answer

    # Plain code, in a thread of its own.
    def _run_sync(self, history: History, compensating: bool) -> Any:
        driver = self._driver = SyncDriver(
            history, self._do_sync, self._wait_sync, compensating=compensating, alarms=False
        )
        token = current_attempt.set(self)
        try:
            args, kwargs = self._call(history)
            if compensating:
                driver.compensate(self._function.function, args, kwargs)
                return None
            return self._function.function(*args, **kwargs)
        finally:
            current_attempt.reset(token)

    def _do_sync(self, action: a.AnyAction) -> Any:
        return asyncio.run_coroutine_threadsafe(self._do_for_thread(action), self._loop).result()

    async def _do_for_thread(self, action: a.AnyAction) -> Any:
        stored = len(self.record.facts)
        answer = self._do(action)
        if self._simulated.replays and not isinstance(action, a.CallChildren) and len(self.record.facts) > stored:
            self._leaves = self._leaves or "replay"
        if self._leaves:
            raise Stopped("The execution is suspended.")
        self._driver.history.outcomes.update(self._news())
        return answer

    def _wait_sync(self, keys: Sequence[str]) -> None:
        # Nothing else of a plain function goes on while it waits: it was suspended, or one of them is over.
        assert any(self._driver.history.done(key) for key in keys)

    def _do(self, action: a.AnyAction) -> Any:
        answer = self._actions.do(action)
        if self.record.state.suspended:
            self._leaves = "suspended"
        return answer

    def _news(self) -> dict[str, a.Outcome]:
        """Operations that are over and that the code has not been told of."""
        over = [key for key, op in self.record.state.ops.items() if op.done and key not in self._delivered]
        self._delivered.update(over)
        return outcomes_of(self.record.state, over, _inline)

    # The port.
    @property
    def by_main(self) -> bool:
        return self._driver.by_main

    def perform(self, operation: Operation) -> Any:
        return self._driver.perform(self._with_faults(operation))

    def _with_faults(self, operation: Operation) -> Operation:
        """The same operation, with what is to go wrong around the functions of its steps."""
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                wanted: Invoke | Act | Pause | Recall = (
                    operation.send(answer) if error is None else operation.throw(error)
                )
            except StopIteration as stop:
                return stop.value
            if type(wanted) is Invoke:
                function = getattr(wanted.function, "function", wanted.function)
                struck = self._simulated.faults.wrapped(self.record.function, wanted.step, function)
                wanted = wanted._replace(function=struck)
            answer = error = None
            try:
                answer = yield wanted
            except BaseException as raised:
                error = raised

    def report(self, progress: a.ReportProgress) -> None:
        self._do(progress)

    def enqueue(self, function: str, args: bytes, kwargs: bytes, options: CallOptions) -> Any:
        history = self._driver.history
        called = Called(function, [a.CallItem(args, kwargs)], options, str, "leave")
        operation = detach(history, history.place(function, "call", by_main=self.by_main), called)
        if isinstance(self._driver, SyncDriver):
            return Execution(self._driver.perform(operation)[0], self)
        return self._handle(operation)

    async def _handle(self, operation: Operation) -> Execution:
        return Execution((await self.perform(operation))[0], self)

    # The questions of handles.
    def result(self, execution_id: str, timeout: Any) -> Any:
        return self._answer(self._result(execution_id))

    def state(self, execution_id: str) -> Any:
        return self._answer(_value(str(self._known(execution_id).state.state)))

    def cancel(self, execution_id: str, force: bool) -> Any:
        return self._answer(self._command(execution_id, c.RequestCancel(force=force)))

    def reschedule(self, execution_id: str, delay: Any) -> Any:
        run_at = None if delay is None else self._world.now + microseconds(delay, "delay")
        return self._answer(self._command(execution_id, c.Reschedule(run_at=run_at)))

    def rerun(self, execution_id: str, from_step: str | None) -> Any:
        return self._answer(
            _value(Execution(self._simulated.world.rerun(self._known(execution_id), from_step).id, self))
        )

    def resume(self, execution_id: str) -> Any:
        return self._answer(self._command(execution_id, c.Resume()))

    def message(self, execution_id: str, body: bytes, channel: str, message_id: str | None) -> Any:
        message = c.ReceiveMessage(message=message_id or self._world.new_id(), channel=channel, body=Raw(body))
        return self._answer(self._command(execution_id, message))

    def _answer(self, work: Any) -> Any:
        """Awaitable for async code; for plain code, which is in another thread, the value itself."""
        if isinstance(self._driver, AsyncDriver) or threading.current_thread() is threading.main_thread():
            return work
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _command(self, execution_id: str, command: c.AnyCommand) -> None:
        try:
            self._world.carry_out(self._known(execution_id), command)
        except Rejected as refusal:
            raise PenstockError(refusal.code, refusal.detail) from None

    async def _result(self, execution_id: str) -> Any:
        record = self._known(execution_id)
        await self._simulated.settle(until=lambda: record.state.is_final)
        if not record.state.is_final:
            raise TimeoutError(f"Execution {execution_id} waits for something from outside.")
        return result_of(record)

    def _known(self, execution_id: str) -> Record:
        if execution_id not in self._world.records:
            raise PenstockError("unknown_execution", f"There is no execution {execution_id}.")
        return self._world.records[execution_id]


async def _value(value: Any) -> Any:
    return value


def _inline(result: Raw, reference: str | None) -> bytes:
    return bytes(result)


def result_of(record: Record) -> Any:
    """The result of an execution that has ended. Raises ExecutionFailed when it has none."""
    last, error = record.facts[-1], record.state.error
    if isinstance(last, Succeeded):
        return msgspec.json.decode(last.result)
    assert error is not None
    raise ExecutionFailed(record.id, str(record.state.state), error.code, error.type, error.message, error.stack)


def register_task(task: "asyncio.Task[Any]") -> None:
    """Let the attempt whose code has started this task know of it."""
    attempt = current_attempt.get()
    if isinstance(attempt, Attempt) and isinstance(driver := getattr(attempt, "_driver", None), AsyncDriver):
        driver.tasks.add(task)
