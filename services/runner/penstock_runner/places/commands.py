"""Attempts of `command` functions: any executable, JSON in on stdin, JSON out on file descriptor 3."""

import asyncio
import shutil
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import structlog

from penstock.domain.errors import Rejected
from penstock.domain.function.options import FunctionSpec
from penstock.domain.function.target import CommandTarget
from penstock.wire.traces import trace_variables
from penstock_runner.places.described import carried_to, described
from penstock_runner.places.process import CommandProcess
from penstock_runner.workers.assignment import Assignment, Ending, Killed
from penstock_runner.workers.memory import MemoryWatch, group_bytes
from penstock_runner.workers.messages import Raised, Run
from penstock_runner.workers.scratch import ScratchRoot
from penstock_runner.workers.slots import Slots
from penstock_runner.workers.time_limits import TimeLimits

logger = structlog.get_logger("penstock")

CLOSE_SECONDS = 5.0


class CommandPlace:
    """All commands of this runner. They take their slots from the plain functions: each is a process too."""

    def __init__(self, slots: Slots, environment: Mapping[str, str], hidden: Sequence[str] | None) -> None:
        """`hidden` is what commands may not see; None: no walls at all."""
        self._slots = slots
        self._environment = environment
        self._hidden = hidden
        self._scratch = ScratchRoot()
        self._running: dict[int, CommandProcess] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._memory = MemoryWatch(group_bytes)

    def slots(self, spec: FunctionSpec) -> Slots:
        return self._slots

    def retire(self) -> None:
        """There is nothing that would be replaced."""

    async def close(self) -> None:
        """Kill what still runs, and leave nothing behind."""
        for process in list(self._running.values()):
            process.stop(process.assignment, Killed("drained"), force=True)
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=CLOSE_SECONDS)
        self._memory.close()
        await asyncio.to_thread(self._scratch.remove)

    async def ready(self, spec: FunctionSpec) -> None:
        """Its process is started for it alone."""

    async def run(self, spec: FunctionSpec, assignment: Assignment, timeout: float | None) -> Ending:
        assert isinstance(spec.target, CommandTarget)
        if assignment.ending.done():
            return await assignment.ending
        number = assignment.run.number
        environment = {**self._environment, **_facts(assignment.run)}
        process = CommandProcess(spec.target.command, assignment, environment, self._hidden)
        self._running[number] = process
        limits = assignment.limits = assignment.limits or TimeLimits(timeout)
        limits.begin(lambda verdict: process.stop(assignment, verdict, True))
        if spec.memory is not None:
            self._memory.watch(process, assignment, spec.memory)
        task = asyncio.create_task(self._carry_out(process, assignment), name=f"command-{spec.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await assignment.ending

    def stop(self, assignment: Assignment, verdict: Killed, force: bool = False) -> None:
        process = self._running.get(assignment.run.number)
        if process is None:
            assignment.end(verdict)
        else:
            process.stop(assignment, verdict, force)

    async def _carry_out(self, process: CommandProcess, assignment: Assignment) -> None:
        try:
            await process.run(msgspec.json.encode(described(assignment.run)), self._scratch.path)
        except OSError as error:
            # No process, no descriptor or no disk left: not the fault of the command.
            logger.error("command_not_started", error=str(error))
            text = f"The runner could not start the command: {error}."
            assignment.end(assignment.verdict or Raised(assignment.run.number, "user_error", "OSError", text, ""))
        finally:
            # Not when the attempt ends: a process that outlives it must be found at the close.
            del self._running[assignment.run.number]


def check_commands(specs: Iterable[FunctionSpec], path: str | None) -> None:
    """Raises Rejected `invalid_option` for a command that is not there: better said at the start than at each attempt.

    `path` is the PATH that commands will see.
    """
    for spec in specs:
        if isinstance(spec.target, CommandTarget) and shutil.which(spec.target.command[0], path=path) is None:
            raise Rejected(
                "invalid_option",
                f"The command of {spec.name}, {spec.target.command[0]!r}, is no executable file that the runner can "
                "find. Paths are seen from where it was started, other names are looked up in PATH.",
            )


def _facts(run: Run) -> dict[str, str]:
    """What scripts want to know without reading JSON."""
    return {
        "PENSTOCK_EXECUTION_ID": run.execution_id,
        "PENSTOCK_FUNCTION": run.function,
        "PENSTOCK_ATTEMPT": str(run.attempt),
        **trace_variables(carried_to(run)),
    }
