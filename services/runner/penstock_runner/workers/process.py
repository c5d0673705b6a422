"""The runner's side of one worker process: start it, talk to it, stop it, and say what became of its attempts."""

import asyncio
import itertools
import mmap
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec
import structlog

from penstock.service.concern import concerning
from penstock_runner.workers.assignment import Assignment, Killed, Request
from penstock_runner.workers.descendants import MARK, end_below, end_marked
from penstock_runner.workers.hosts import Host
from penstock_runner.workers.messages import (
    Answer,
    Ask,
    Beat,
    Cancel,
    Compensated,
    Do,
    Extend,
    Frames,
    FromWorker,
    Hello,
    Lines,
    Message,
    Raised,
    Returned,
    Setup,
    frame,
)
from penstock_runner.workers.pipes import OutputPipe
from penstock_runner.workers.scratch import remove_tree
from penstock_runner.workers.time_limits import TimeLimits

logger = structlog.get_logger("penstock")

STOP_GRACE_SECONDS = 2.0
"""How long cancelled user code may clean up before its process is killed."""
LEAVES = ("suspended", "closed", "drained")
"""Verdicts after which the execution goes on later or elsewhere."""
_names = itertools.count(1)


class WorkerProcess(asyncio.Protocol):
    """One process. `assignments` are the attempts in it, by number."""

    def __init__(self, setup: Setup, host: Host, on_exit: Callable[["WorkerProcess"], None]) -> None:
        self.setup = setup
        self.name = f"{setup.mode}-{next(_names)}"
        self.directory = os.path.join(setup.scratch, self.name)
        """Where its attempts have their scratch directories; it is gone when the process is."""
        self.assignments: dict[int, Assignment] = {}
        self.hello: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self.is_alive = False
        self.pid = 0
        self.is_leaving = False
        """It gets no further attempts: it is being replaced."""
        self._host = host
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._frames: Frames[FromWorker] = Frames(FromWorker)
        self._waiting: list[Message] = []
        self._transport: asyncio.WriteTransport | None = None
        self._pipes: list[OutputPipe] = []
        self._marker: mmap.mmap | None = None
        self._requests: set[asyncio.Task[None]] = set()
        self.ended: asyncio.Task[None] | None = None

    @property
    def had_loaded(self) -> bool:
        """True if it got as far as saying hello with its functions."""
        return self.hello.done() and not self.hello.result().error

    # Life.
    async def start(self) -> None:
        """Start it and send it its setup; `hello` is set when it has loaded the app."""
        os.mkdir(self.directory, 0o700)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._pipes = [OutputPipe("stdout", self._on_output), OutputPipe("stderr", self._on_output)]
        with tempfile.TemporaryFile() as marker:
            marker.truncate(8)
            self._marker = mmap.mmap(marker.fileno(), 8)
            descriptors = (theirs.fileno(), marker.fileno())
            process = await asyncio.create_subprocess_exec(
                *self._host.command, *map(str, descriptors), str(os.getpid()),
                stdin=asyncio.subprocess.DEVNULL, stdout=self._pipes[0].writer, stderr=self._pipes[1].writer,
                pass_fds=descriptors, env={**self._host.environment, MARK: self.directory}, start_new_session=True,
            )  # fmt: skip
        theirs.close()
        for pipe in self._pipes:
            pipe.started()
        self.pid = process.pid
        self.is_alive = True
        await self._loop.create_unix_connection(lambda: self, sock=ours)
        self.send(self.setup)
        self.ended = asyncio.create_task(self._watch(process), name=f"worker-{self.name}")

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Wait for its death and tell everybody."""
        code = await process.wait()
        self.is_alive = False
        await self._end_rest()
        for pipe in self._pipes:
            pipe.drain()
            pipe.close()
        if self._transport is not None:
            # What it said before it died is in the socket's buffer still; it comes with the end of the stream.
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._closed.wait()
        self._settle_all(code)
        if not self.hello.done():
            self.hello.set_result(
                Hello(error=f"The worker process ended with {_exit_text(code)} before it had loaded the functions.")
            )
        if self._transport is not None:
            self._transport.close()
        self._on_exit(self)

    def _settle_all(self, code: int) -> None:
        holder = int.from_bytes(self._marker[:8], sys.byteorder) if self._marker is not None else 0
        assignments = list(self.assignments.values())
        self.assignments.clear()
        text = f"The worker process ended with {_exit_text(code)}."
        # Who held the event loop did it. If nobody did, it cannot be told, and all are charged.
        stopped = [one for one in assignments if one.verdict is not None]
        known = holder in {one.run.number for one in assignments}
        for one in assignments:
            one.capture.finish(time.time_ns() // 1000)
            if one.verdict is not None:
                one.end(one.verdict)
            elif known and one.run.number == holder and stopped:
                one.end(Killed("crashed", "It held the event loop of its worker process, which was killed for that."))
            elif (known and one.run.number == holder) or (not known and not stopped):
                one.end(Killed("crashed", text))
            else:
                one.end(Killed("drained"))

    async def _end_rest(self) -> None:
        """What it started must not outlive it, and what its attempts wrote down for a while is not needed any more."""
        self._signal_group(signal.SIGKILL)
        await asyncio.to_thread(end_marked, self.directory)
        await asyncio.to_thread(remove_tree, self.directory)

    def kill(self) -> None:
        """Kill it and all that it started, now."""
        if self.is_alive:
            # First itself, that it can start nothing more.
            self._signal_group(signal.SIGSTOP)
            end_below(self.pid)
        self._signal_group(signal.SIGKILL)

    def close(self) -> None:
        """Let it end: it leaves when its socket is closed."""
        self.is_leaving = True
        if self._transport is not None:
            self._transport.close()

    def _signal_group(self, number: int) -> None:
        # A process group of 0 would be our own.
        if self.pid:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    # Attempts.
    def assign(self, assignment: Assignment, timeout: float | None) -> None:
        """Run it here. Its `ending` will be set, whatever happens."""
        self.assignments[assignment.run.number] = assignment
        if assignment.limits is None and timeout is not None:
            assignment.limits = TimeLimits(timeout)
        if assignment.limits is not None:
            assignment.limits.begin(lambda verdict: self.stop(assignment, verdict, self.setup.mode == "sync"))
        assignment.send = self.send
        self.send(assignment.run)

    def stop(self, assignment: Assignment, verdict: Killed, force: bool = False) -> None:
        """End the attempt: ask user code first, unless forced, and kill the process if it does not listen."""
        if assignment.run.number not in self.assignments:
            return
        assignment.verdict = assignment.verdict or verdict
        if assignment.limits is not None:
            assignment.limits.end()
        if force:
            self.is_leaving = True
            self.kill()
            return
        if assignment.timer is not None:
            # Asked already: its grace gets no longer by asking again.
            return
        if self.setup.mode == "async":
            self.send(Cancel(assignment.run.number, assignment.verdict.code in LEAVES))
        else:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
        assignment.timer = self._loop.call_later(STOP_GRACE_SECONDS, self.stop, assignment, verdict, True)

    # The socket.
    def send(self, message: Message) -> None:
        """Send at the end of this turn of the loop, together with what else it brings."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(message)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(waiting))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        self._closed = asyncio.Event()

    def connection_lost(self, error: Exception | None) -> None:
        self._closed.set()

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._frames.feed(data)
        except msgspec.DecodeError:
            # User code wrote into our socket; nothing from it can be trusted any more.
            logger.error("worker_talks_nonsense", worker=self.name)
            self.is_leaving = True
            self.kill()
            return
        for message in messages:
            self._on_message(message)

    def _on_message(self, message: FromWorker) -> None:
        match message:
            case Returned() | Raised() | Compensated():
                self._on_ending(message)
            case Do() | Ask():
                assignment = self.assignments.get(message.number)
                if assignment is not None:
                    task = self._loop.create_task(self._respond(assignment, message))
                    self._requests.add(task)
                    task.add_done_callback(self._requests.discard)
            case Lines():
                assignment = self.assignments.get(message.number)
                if assignment is not None:
                    assignment.capture.add(message.lines)
            case Beat() | Extend():
                self._on_time(message)
            case Hello():
                if not self.hello.done():
                    self.hello.set_result(message)

    def _on_time(self, message: Beat | Extend) -> None:
        assignment = self.assignments.get(message.number)
        if assignment is None or assignment.limits is None:
            return
        if isinstance(message, Beat):
            assignment.limits.beat()
        else:
            assignment.limits.extend(message.seconds)

    def _on_ending(self, message: Returned | Raised | Compensated) -> None:
        assignment = self.assignments.pop(message.number, None)
        if assignment is None:
            return
        if self.setup.mode == "sync":
            for pipe in self._pipes:
                self._drain_for(pipe, assignment)
            assignment.capture.finish(time.time_ns() // 1000)
        if assignment.verdict is not None and (
            isinstance(message, Raised) or assignment.verdict.code in ("timed_out", "suspended")
        ):
            assignment.end(assignment.verdict)
        else:
            assignment.end(message)

    def _drain_for(self, pipe: OutputPipe, assignment: Assignment) -> None:
        self.assignments[assignment.run.number] = assignment
        pipe.drain()
        del self.assignments[assignment.run.number]

    async def _respond(self, assignment: Assignment, request: Request) -> None:
        run = assignment.run
        concerning(run.execution_id, run.function, run.trace_id, run.attempt)
        try:
            answer = await assignment.respond(request)
        except Exception as error:
            # Code that is never answered would wait for ever.
            logger.exception("request_failed")
            answer = Answer(request.number, request.call, code="internal", detail=f"{type(error).__name__}: {error}")
        self.send(answer)

    def _on_output(self, stream: str, data: bytes) -> None:
        if len(self.assignments) == 1:
            assignment = next(iter(self.assignments.values()))
            assignment.capture.add_bytes(stream, data, time.time_ns() // 1000)
            return
        # Nobody's: printed while the app was loaded, between attempts, or below Python among several attempts.
        logger.info("worker_output", worker=self.name, stream=stream, text=data[:4096].decode("utf-8", "replace"))


def _exit_text(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
