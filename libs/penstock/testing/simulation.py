"""Runs the functions of an app to their ends in memory: a virtual clock, no server, no waiting.

The rules are those of the product, the same code. Sleeps, delays and backoffs take no time; waits for something from
outside (events, tokens, messages) stay open until the test brings it or lets time pass.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Raw

from penstock.domain.durations import microseconds
from penstock.domain.errors import Rejected
from penstock.domain.execution import commands as c
from penstock.domain.execution.create import Origin
from penstock.domain.execution.facts import AnyFact, ErrorInfo, kind_of
from penstock.domain.function.match import subscribers
from penstock.domain.function.options import CallOptions, resolve
from penstock.domain.ids import event_execution_id, keyed_execution_id
from penstock.functions.calls import arguments
from penstock.functions.define import App
from penstock.functions.idle import register_tasks
from penstock.functions.operations import Token
from penstock.functions.values import to_json
from penstock.testing.actions import TOKEN_ADDRESS
from penstock.testing.attempts import Attempt, register_task, result_of
from penstock.testing.faults import Faults
from penstock.testing.worlds import Record, World

Duration = str | float | timedelta

START = datetime(2030, 1, 1, tzinfo=UTC)
TURN_SECONDS = 0.02
SKIP_SECONDS = 0.05
"""Time is skipped when code has done nothing durable for so long."""
ROUNDS_MAX = 100_000
"""Attempts and moves of the clock in one go; code that makes more never comes to rest."""


class Run:
    """One execution of a simulation."""

    def __init__(self, simulation: "Simulation", record: Record) -> None:
        self._simulation = simulation
        self._record = record

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def function(self) -> str:
        return self._record.function

    @property
    def state(self) -> str:
        return str(self._record.state.state)

    @property
    def attempt(self) -> int:
        return self._record.state.attempt

    @property
    def error(self) -> ErrorInfo | None:
        return self._record.state.error

    @property
    def facts(self) -> list[AnyFact]:
        return list(self._record.facts)

    @property
    def kinds(self) -> list[str]:
        """The kinds of its facts, in order."""
        return [kind_of(fact) for fact in self._record.facts]

    @property
    def steps(self) -> dict[str, Any]:
        """Results of its finished steps by name, in the order of their ends."""
        return {key: msgspec.json.decode(value) for key, (value, _) in self._record.state.steps.items()}

    @property
    def waits(self) -> list[str]:
        """What it waits for now, by name."""
        return list(self._record.state.waits)

    @property
    def progress(self) -> tuple[float, float | None, str] | None:
        """The last (done, total, note) that it reported."""
        last = self._record.state.progress
        return None if last is None else (last.done, last.total, last.note)

    @property
    def children(self) -> list["Run"]:
        """The executions that it has made, in order."""
        records = self._simulation.world.records.values()
        return [Run(self._simulation, each) for each in records if each.state.parent_id == self.id]

    def result(self) -> Any:
        """Its result. Raises ExecutionFailed when it ended without one, TimeoutError when it has not ended."""
        if not self._record.state.is_final:
            raise TimeoutError(f"It is {self.state} and waits for {self.waits or 'nothing that will come by itself'}.")
        return result_of(self._record)

    def cancel(self, *, force: bool = False) -> "Run":
        """Cancel it and let what follows happen. Raises Rejected `wrong_state`."""
        self._simulation.world.cancel(self._record, force=force)
        return self._simulation.go_on(self)

    def send(self, body: Any, channel: str = "default") -> "Run":
        """Send it a message. Raises Rejected `wrong_state`."""
        message = c.ReceiveMessage(
            message=self._simulation.world.new_id(), channel=channel, body=Raw(to_json(body))
        )  # fmt: skip
        self._simulation.world.carry_out(self._record, message)
        return self._simulation.go_on(self)

    def rerun(self, from_step: str | None = None) -> "Run":
        """The same again, as a new execution; from a step on if one is named. Raises Rejected `invalid_option`."""
        return self._simulation.go_on(Run(self._simulation, self._simulation.world.rerun(self._record, from_step)))

    def resume(self) -> "Run":
        """Go on after a pause. Raises Rejected `wrong_state`."""
        self._simulation.world.carry_out(self._record, c.Resume())
        return self._simulation.go_on(self)


class Simulation:
    """The functions of an app, running in memory.

    With `replay` the code is left and run again from its beginning after each thing that it stores: what is not the
    same on every replay shows itself at once. Code that awaits something that is not durable (a socket, asyncio.sleep)
    is given real time; when nothing else can happen for `patience` seconds it is left and run again at the next step of
    the test. Flow control and time-outs of attempts are not simulated.
    """

    def __init__(
        self, app: App, *, start: datetime = START, replay: bool = False, seed: int = 0, patience: float = 1.0
    ) -> None:
        self.app = app
        self.replays = replay
        self.faults = Faults()
        self.world = World(round(start.timestamp() * 1_000_000), seed)
        self._events = 0
        self._patience = patience
        self._running: dict[asyncio.Task[None], Attempt] = {}

    @property
    def now(self) -> datetime:
        """The virtual time."""
        return datetime.fromtimestamp(self.world.now / 1_000_000, UTC)

    # What comes from outside.
    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Run:
        """Make an execution and let everything happen that happens by itself. `function` may carry options."""
        target = getattr(function, "call_target", None)
        if target is None:
            raise Rejected("invalid_option", f"{function!r:.80} is no function of an app.")
        name, given, _ = target()
        json_args, json_kwargs = arguments(args, kwargs)
        function.check_arguments(json_args, json_kwargs)
        options = resolve(given, self.world.now)
        execution_id = self.world.new_id()
        if options.idempotency_key is not None:
            execution_id = keyed_execution_id("test", name, options.idempotency_key)
        record = self.world.create(execution_id, name, Raw(json_args), Raw(json_kwargs), options, Origin())
        return self.go_on(Run(self, record))

    def send_event(self, name: str, data: Any = None) -> list[Run]:
        """Publish an event: functions with a fitting `on` are started (`when` is not looked at), waits are ended."""
        self._events += 1
        event_id = f"event-{self._events}"
        event = self.world.store_event(event_id, name, Raw(to_json(data)))
        runs = []
        for spec in subscribers(self.app.specs(), name):
            origin = Origin(event=event.body, event_id=event_id)
            options = resolve(CallOptions(), self.world.now)
            record = self.world.create(
                event_execution_id("test", event_id, spec.name), spec.name, Raw(b"[]"), Raw(b"{}"), options, origin
            )  # fmt: skip
            runs.append(Run(self, record))
        self._drive(self._settle_and_leave())
        return runs

    def complete(self, token: str | Token, result: Any = None) -> None:
        """Use a token (or its address): the wait for it ends with this value. Raises Rejected."""
        self._use(token, c.CompleteWait(wait="", outcome="completed", result=Raw(to_json(result)), early=True))

    def reject(self, token: str | Token, message: str = "rejected") -> None:
        """Use a token to say no. Raises Rejected."""
        error = ErrorInfo(code="rejected", message=message)
        self._use(token, c.CompleteWait(wait="", outcome="rejected", error=error, early=True))

    def _use(self, token: str | Token, command: c.CompleteWait) -> None:
        text = token.id if isinstance(token, Token) else token
        execution_id, _, key = text.removeprefix(TOKEN_ADDRESS).partition(".")
        if execution_id not in self.world.records:
            raise Rejected(
                "unknown_token",
                f"{text!r:.80} is no token of this simulation. Take the one that the function made, or its url.",
            )
        record = self.world.records[execution_id]
        self.world.carry_out(record, msgspec.structs.replace(command, wait=key))
        self._drive(self._settle_and_leave())

    def advance(self, duration: Duration) -> None:
        """Let so much time pass; what is due on the way happens at its time."""
        until = self.world.now + microseconds(duration)
        while (due := self.world.next_time(skippable=False)) is not None and due <= until:
            self.world.move_to(due)
            self._drive(self._settle_and_leave())
        self.world.move_to(until)
        self._drive(self._settle_and_leave())

    # What goes wrong.
    def fail(
        self, step: str, *, times: int = 1, error: Exception | None = None, function: str | None = None
    ) -> "Simulation":
        """Let the next `times` tries of a step raise `error` (a RuntimeError) instead of running."""
        self.faults.fail(step, times, error or RuntimeError(f"{step} was made to fail"), function)
        return self

    def lose(self, step: str, *, times: int = 1, after: bool = False, function: str | None = None) -> "Simulation":
        """Let the attempt be lost, as when its runner is killed, before the step runs or `after` it, unstored."""
        self.faults.lose(step, times, after, function)
        return self

    # What happens by itself.
    def runs(self, function: str | None = None) -> list[Run]:
        """All executions, or those of one function, in the order in which they were made."""
        return [Run(self, each) for each in self.world.records.values() if function in (None, each.function)]

    def go_on(self, run: Run) -> Run:
        """Let everything happen that happens by itself."""
        self._drive(self._settle_and_leave())
        return run

    async def settle(self, until: Callable[[], bool] | None = None) -> None:
        """Run what is runnable, skipping time, until all is at rest or `until` is true. Raises RuntimeError."""
        still = time.monotonic()
        for _ in range(ROUNDS_MAX):
            if until is not None and until():
                return
            if self._begin() or await self._rest():
                still = time.monotonic()
            elif not self._running or time.monotonic() - still > SKIP_SECONDS:
                due = self.world.next_time(skippable=True)
                if due is not None:
                    self.world.move_to(due)
                    still = time.monotonic()
                elif not self._running or time.monotonic() - still > self._patience:
                    return
        raise RuntimeError(f"The functions did not come to rest within {ROUNDS_MAX} attempts and pauses.")

    def _begin(self) -> bool:
        """Start what is runnable; says whether there was anything."""
        found = bool(self.world.runnable)
        while self.world.runnable:
            record, activation = self.world.runnable.popleft()
            attempt = Attempt(self, record, activation)
            self._running[asyncio.get_running_loop().create_task(attempt.run())] = attempt
        return found

    async def _rest(self) -> bool:
        """Let code run for a moment; says whether an attempt has ended."""
        if not self._running:
            return False
        for attempt in list(self._running.values()):
            if attempt.is_over:
                attempt.leave()
            else:
                attempt.notice()
        done, _ = await asyncio.wait(self._running, timeout=TURN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            del self._running[task]
            task.result()
        return bool(done)

    async def _settle_and_leave(self) -> None:
        """Settle; code that is still busy with something that is not durable is left, to be run again next time."""
        register_tasks(asyncio.get_running_loop(), register_task)
        await self.settle()
        while self._running:
            for attempt in list(self._running.values()):
                attempt.put_aside()
                self.world.runnable.append((attempt.record, attempt.activation))
            await asyncio.wait(self._running)
            self._running.clear()

    def _drive(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it to its end, also when the test itself runs on an event loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(work)
            return
        raised: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(work)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=run, name="simulation")
        thread.start()
        thread.join()
        if raised:
            raise raised[0]
