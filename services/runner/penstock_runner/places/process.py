"""One command under way: started, fed, listened to, stopped with all that it started."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from penstock.domain.limits import error_stack_chars_max, foreign_result_bytes_max
from penstock.service import kernel
from penstock_runner.places.exits import ending_of
from penstock_runner.places.launch import NO_WALLS, WALLS
from penstock_runner.workers.assignment import Assignment, Killed
from penstock_runner.workers.descendants import MARK, end_below, end_marked
from penstock_runner.workers.pipes import OutputPipe
from penstock_runner.workers.process import STOP_GRACE_SECONDS
from penstock_runner.workers.scratch import remove_tree

LAUNCH = str(Path(__file__).with_name("launch.py"))
ROOT = str(Path(__file__).parents[2])
KIT = str(Path(kernel.__file__).parents[1])
_ERRORS_BYTES = error_stack_chars_max * 4


class CommandProcess:
    """The process of one attempt. Its working directory is the runner's, its TMPDIR a directory of its own."""

    def __init__(
        self,
        command: Sequence[str],
        assignment: Assignment,
        environment: Mapping[str, str],
        hidden: Sequence[str] | None,
    ) -> None:
        self.pid = 0
        self._command = command
        self.assignment = assignment
        self._environment = environment
        self._walls = NO_WALLS if hidden is None else os.pathsep.join((WALLS, *hidden))
        self._loop = asyncio.get_running_loop()
        self._result = bytearray()
        self._too_much = False
        self._errors = b""
        self._has_ended = False

    async def run(self, body: bytes, scratch: str) -> None:
        """Start it with `body` on its stdin, and settle the assignment when it has ended."""
        home = await asyncio.to_thread(tempfile.mkdtemp, prefix="attempt-", dir=scratch)
        pipes = [OutputPipe("stdout", self._on_output), OutputPipe("stderr", self._on_output)]
        pipes.append(OutputPipe("result", self._on_result))
        try:
            process = await self._start(body, home, pipes)
            self.pid = process.pid
            if self.assignment.verdict is not None:
                # It was stopped while it was being started.
                self._kill()
            code = await process.wait()
            self._has_ended = True
        finally:
            # What it started must not outlive it.
            self._signal(signal.SIGKILL)
            await asyncio.to_thread(end_marked, home)
            for pipe in pipes:
                pipe.drain()
                pipe.close()
            await asyncio.to_thread(remove_tree, home)
        self._settle(code)

    def stop(self, assignment: Assignment, verdict: Killed, force: bool = False) -> None:
        """Ask it and its children to end (SIGTERM), and kill them after a grace, or at once if forced."""
        assignment.verdict = assignment.verdict or verdict
        if assignment.limits is not None:
            assignment.limits.end()
        if force:
            self._kill()
            return
        self._signal(signal.SIGTERM)
        if assignment.timer is not None:
            assignment.timer.cancel()
        assignment.timer = self._loop.call_later(STOP_GRACE_SECONDS, self.stop, assignment, verdict, True)

    async def _start(self, body: bytes, home: str, pipes: Sequence[OutputPipe]) -> asyncio.subprocess.Process:
        stdout, stderr, result = (pipe.writer for pipe in pipes)
        launch = (sys.executable, "-I", "-S", LAUNCH, ROOT, KIT, str(result), str(os.getpid()), self._walls)
        try:
            # A file and no pipe: a command that reads late, or never, keeps nobody waiting.
            with tempfile.TemporaryFile(dir=home) as given:
                await asyncio.to_thread(given.write, body)
                given.seek(0)
                return await asyncio.create_subprocess_exec(
                    *launch, *self._command, stdin=given, stdout=stdout, stderr=stderr, pass_fds=(result,),
                    env={**self._environment, "TMPDIR": home, MARK: home}, start_new_session=True,
                )  # fmt: skip
        finally:
            for pipe in pipes:
                pipe.started()

    def _settle(self, code: int) -> None:
        assignment = self.assignment
        assignment.capture.finish(time.time_ns() // 1000)
        result = None if self._too_much else bytes(self._result)
        # A result that races with a cancel counts. An exit without one is what was asked for, whatever its code.
        late = assignment.verdict is not None and assignment.verdict.code in ("timed_out", "out_of_memory")
        if assignment.verdict is not None and (late or code != 0 or not self._result):
            assignment.end(assignment.verdict)
        else:
            assignment.end(ending_of(assignment.run.number, code, result, self._errors))

    def _kill(self) -> None:
        if self.pid and not self._has_ended:
            # First itself, that it can start nothing more.
            self._signal(signal.SIGSTOP)
            end_below(self.pid)
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        # A process group of 0 would be our own.
        if self.pid:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _on_output(self, stream: str, data: bytes) -> None:
        if stream == "stderr":
            self._errors = (self._errors + data)[-_ERRORS_BYTES:]
        self.assignment.capture.add_bytes(stream, data, time.time_ns() // 1000)

    def _on_result(self, stream: str, data: bytes) -> None:
        if len(self._result) + len(data) > foreign_result_bytes_max:
            # What it says further is read and forgotten, so that it comes to its end.
            self._too_much = True
        if not self._too_much:
            self._result += data
