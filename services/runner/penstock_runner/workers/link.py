"""The worker process's end of the socket. Sending may be done from any thread; it blocks while the runner is behind."""

import os
import select
import socket
import threading

from penstock_runner.workers.messages import Frames, FromRunner, Message, frame

RECEIVE_BYTES = 256 * 1024


class Link:
    """Messages to and from the runner. A copy made by `fork` in user code says nothing."""

    def __init__(self, fd: int) -> None:
        self.socket = socket.socket(fileno=fd)
        self.socket.set_inheritable(False)
        self.socket.setblocking(False)
        self._frames: Frames[FromRunner] = Frames(FromRunner)
        self._lock = threading.RLock()
        self._waiting: list[Message] = []
        self.is_open = True
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        self.is_open = False
        self._lock = threading.RLock()
        self.socket.close()

    def put(self, message: Message) -> None:
        """Send with the next `flush`."""
        self._waiting.append(message)

    def flush(self) -> None:
        """Send what waits, in one write if the socket takes it."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            if waiting and self.is_open:
                self._write(frame(waiting))

    def send(self, message: Message) -> None:
        """Send it now, behind what waits: it arrives even if this process dies at the next instruction."""
        with self._lock:
            self._waiting.append(message)
            self.flush()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self.socket.send(view) :]
            except BlockingIOError:
                select.select([], [self.socket], [])
            except OSError:
                # The runner is gone; so shall we be, by the signal that its death sends us.
                self.is_open = False
                return

    def receive(self) -> list[FromRunner] | None:
        """What has arrived, without waiting; None when the runner closed the socket."""
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            return None
        return self._frames.feed(data) if data else None

    def wait(self) -> None:
        """Until something has arrived."""
        select.select([self.socket], [], [])
