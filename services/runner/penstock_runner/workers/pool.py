"""All worker processes of a runner: kept warm, chosen for each attempt, replaced when they die."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from penstock.domain.errors import Rejected
from penstock.domain.function.options import FunctionSpec
from penstock_runner.workers.assignment import Assignment, Ending, Killed
from penstock_runner.workers.hosts import Host
from penstock_runner.workers.memory import MemoryWatch
from penstock_runner.workers.messages import Hello, Raised, Setup
from penstock_runner.workers.process import WorkerProcess
from penstock_runner.workers.scratch import ScratchRoot
from penstock_runner.workers.slots import Slots

logger = structlog.get_logger("penstock")

ASYNC_ATTEMPTS_PER_PROCESS = 500
RESTARTS_MAX = 5
"""Processes in a row that could not load the app before the pool gives up and says so."""
RESTART_SECONDS = 0.2

Kind = tuple[str, int | None]
"""Mode and memory limit: processes of one kind are interchangeable."""


def _kind(spec: FunctionSpec) -> Kind:
    return "async" if spec.is_async else "sync", spec.memory


class Pool:
    """Async functions share some processes; a plain function, or one with a memory limit, has one to itself."""

    def __init__(
        self, host: Host, async_processes: int, sync_processes: int, hidden: Sequence[str] | None = None
    ) -> None:
        self._host = host
        self._async_wanted = max(1, async_processes)
        self._sync_wanted = max(1, sync_processes)
        self._hidden = list(hidden) if hidden is not None else None
        self._scratch = ScratchRoot()
        self._shared: list[WorkerProcess] = []
        self._idle: dict[Kind, list[WorkerProcess]] = {}
        self._starting: Counter[Kind] = Counter()
        self._wanting: Counter[Kind] = Counter()
        """Attempts that wait for a process of their own."""
        self._arrived = asyncio.Event()
        self._all: set[WorkerProcess] = set()
        self._stopping = False
        self._failures = 0
        self._ready = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._memory = MemoryWatch()
        self.shared_slots = Slots(self._async_wanted * ASYNC_ATTEMPTS_PER_PROCESS)
        self.own_slots = Slots(self._sync_wanted)
        self.problem: str | None = None

    async def open(self) -> Hello:
        """Start the first process and learn from it what the app has, then start what that needs.

        Raises Rejected `invalid_option` when its functions cannot be loaded.
        """
        self._spawn(asyncio.to_thread(self._scratch.clear_leftovers))
        first = await self._start(("async", None))
        hello = await first.hello
        if hello.error:
            await self.close()
            raise Rejected("invalid_option", f"{self._host.target} cannot be loaded: {hello.error}")
        self._shared.append(first)
        self._ready.set()
        for _ in range(self._async_wanted - 1):
            self._spawn(self._add_shared())
        if any(not spec.is_async and spec.memory is None for spec in hello.specs):
            for _ in range(self._sync_wanted):
                self._add_idle(("sync", None))
        return hello

    def retire(self) -> None:
        """Replace no process any more: the end is near."""
        self._stopping = True

    async def close(self) -> None:
        """Stop all processes; attempts still in them end as drained."""
        self.retire()
        for process in list(self._all):
            for assignment in process.assignments.values():
                assignment.verdict = assignment.verdict or Killed("drained")
            if process.assignments:
                process.kill()
            else:
                process.close()
        ended = [process.ended for process in self._all if process.ended is not None]
        if ended:
            await asyncio.wait(ended, timeout=1.0)
        while self._all:
            # Those that did not listen, and those that were being started just now.
            for process in list(self._all):
                process.kill()
            await asyncio.sleep(0.02)
        for task in list(self._background):
            task.cancel()
        self._memory.close()
        self._scratch.remove()

    def slots(self, spec: FunctionSpec) -> Slots:
        """Where attempts of this function find their place."""
        return self.shared_slots if spec.is_async and spec.memory is None else self.own_slots

    async def ready(self, spec: FunctionSpec) -> None:
        """Until there is a process that has loaded the app: an attempt does not begin before somebody can run it."""
        if spec.is_async and spec.memory is None:
            await self._least_loaded()
        else:
            process = await self._own(_kind(spec))
            self._idle[_kind(spec)].append(process)

    async def run(self, spec: FunctionSpec, assignment: Assignment, timeout: float | None) -> Ending:
        """Run the attempt to its end, whatever that is. The caller holds a place."""
        if spec.is_async and spec.memory is None:
            process = await self._least_loaded()
            # It may have been stopped while it waited for a process.
            if not assignment.ending.done():
                process.assign(assignment, timeout)
            return await assignment.ending
        process = await self._own(_kind(spec))
        if not assignment.ending.done():
            if spec.memory is not None:
                self._memory.watch(process, assignment, spec.memory)
            process.assign(assignment, timeout)
        ending = await assignment.ending
        if isinstance(ending, Raised) and ending.code == "out_of_memory":
            # Its heap is full of what the attempt left there; the next one shall have all it was promised.
            process.close()
        if process.is_alive and not process.is_leaving and not self._stopping:
            self._arrive(_kind(spec), process)
        return ending

    def stop(self, assignment: Assignment, verdict: Killed, force: bool = False) -> None:
        """End an attempt wherever it runs."""
        for process in self._all:
            if assignment.run.number in process.assignments:
                process.stop(assignment, verdict, force)
                return
        assignment.end(verdict)

    async def _least_loaded(self) -> WorkerProcess:
        while True:
            best: WorkerProcess | None = None
            for process in self._shared:
                if not process.is_leaving and (best is None or len(process.assignments) < len(best.assignments)):
                    best = process
            if best is not None:
                return best
            self._ready.clear()
            await self._ready.wait()

    async def _own(self, kind: Kind) -> WorkerProcess:
        """An idle process of this kind, or else the first that ends its work or has been started."""
        idle = self._idle.setdefault(kind, [])
        while True:
            while idle:
                process = idle.pop()
                if process.is_alive and not process.is_leaving:
                    return process
            self._wanting[kind] += 1
            try:
                # Those that replace crashed ones count: or else each crash would leave a process more than before.
                if self._starting[kind] < self._wanting[kind]:
                    self._trim(kind)
                    self._add_idle(kind)
                self._arrived.clear()
                await self._arrived.wait()
            finally:
                self._wanting[kind] -= 1

    def _arrive(self, kind: Kind, process: WorkerProcess) -> None:
        self._idle.setdefault(kind, []).append(process)
        self._arrived.set()

    def _trim(self, wanted: Kind) -> None:
        """Close one idle process of another kind when there are as many as there may be."""
        own = sum(process not in self._shared for process in self._all)
        if own < self._sync_wanted * 2:
            return
        for kind, idle in self._idle.items():
            if kind != wanted and idle:
                idle.pop().close()
                return

    async def _start(self, kind: Kind) -> WorkerProcess:
        setup = Setup(
            app=self._host.target, mode=kind[0], scratch=self._scratch.path, memory=kind[1], hidden=self._hidden
        )  # fmt: skip
        process = WorkerProcess(setup, self._host, self._on_exit)
        self._all.add(process)
        try:
            await process.start()
        except OSError:
            self._all.discard(process)
            raise
        return process

    async def _add_shared(self) -> None:
        while True:
            process = await self._start(("async", None))
            hello = await process.hello
            if not hello.error:
                break
            if self._stopping:
                return
            await self._not_loaded(hello.error)
        self._loaded()
        self._shared.append(process)
        self._ready.set()

    def _add_idle(self, kind: Kind) -> None:
        """Start one more process of this kind."""
        self._starting[kind] += 1
        self._spawn(self._bring(kind))

    async def _bring(self, kind: Kind) -> None:
        """Until the app is loaded, or nobody waits for that."""
        try:
            while not self._stopping:
                try:
                    process = await self._start(kind)
                    problem = (await process.hello).error
                except OSError as error:
                    # No process to be had: the machine is short of something, which passes.
                    problem = str(error)
                if not problem:
                    self._loaded()
                    self._arrive(kind, process)
                    return
                await self._not_loaded(problem)
                if not self._wanting[kind]:
                    return
        finally:
            self._starting[kind] -= 1

    def _loaded(self) -> None:
        self._failures, self.problem = 0, None

    async def _not_loaded(self, error: str) -> None:
        """Try again after a while, longer each time: the app was loaded once, so this may pass."""
        self._failures += 1
        self.problem = f"worker processes cannot load {self._host.target}: {error.strip().splitlines()[-1]}"
        logger.error("worker_cannot_load_app", app=self._host.target, error=error)
        await asyncio.sleep(RESTART_SECONDS * 2 ** min(self._failures, RESTARTS_MAX))

    def _on_exit(self, process: WorkerProcess) -> None:
        self._all.discard(process)
        for idle in self._idle.values():
            if process in idle:
                idle.remove(process)
        if process in self._shared:
            self._shared.remove(process)
            if not self._stopping:
                logger.warning("worker_ended", worker=process.name)
                self._spawn(self._add_shared())
        elif process.setup.mode == "sync" and process.setup.memory is None and process.had_loaded:
            present = sum(one.setup.mode == "sync" and one.setup.memory is None for one in self._all)
            if not self._stopping and present < self._sync_wanted:
                self._add_idle(("sync", None))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
