"""The handle of one execution: its id, and what may be asked about it or done to it."""

from collections.abc import Generator
from datetime import timedelta
from typing import Any, Protocol

from penstock.functions.values import to_json

Duration = str | float | timedelta


class Executions(Protocol):
    """Where a handle sends its questions: over HTTP, or through the runner inside a worker process.

    Each answers with an awaitable, except for a plain `def` function in a worker process, which gets the value itself.
    """

    def result(self, execution_id: str, timeout: Duration | None) -> Any: ...

    def state(self, execution_id: str) -> Any: ...

    def cancel(self, execution_id: str, force: bool) -> Any: ...

    def reschedule(self, execution_id: str, delay: Duration | None) -> Any: ...

    def rerun(self, execution_id: str, from_step: str | None) -> Any: ...

    def resume(self, execution_id: str) -> Any: ...

    def message(self, execution_id: str, body: bytes, channel: str, message_id: str | None) -> Any: ...


class Execution:
    """One execution by its id. Awaiting the handle itself gives the handle."""

    __slots__ = ("_executions", "id")

    def __init__(self, execution_id: str, executions: Executions) -> None:
        self.id = execution_id
        self._executions = executions

    def __await__(self) -> Generator[Any, None, "Execution"]:
        return self
        yield  # pragma: no cover - makes this a generator, as awaiting demands

    def __repr__(self) -> str:
        return f"<execution {self.id}>"

    def result(self, timeout: Duration | None = None) -> Any:
        """Its result, waiting for it; without a time-out, for as long as it takes.

        Raises ExecutionFailed when it ends without one, TimeoutError when it has not ended in time.
        """
        return self._executions.result(self.id, timeout)

    def state(self) -> Any:
        """Its state as a word, such as `queued`, `running` or `succeeded`."""
        return self._executions.state(self.id)

    def cancel(self, force: bool = False) -> Any:
        """Stop it; `force` leaves it no time to clean up. Raises PenstockError `wrong_state` when it has ended."""
        return self._executions.cancel(self.id, force)

    def reschedule(self, delay: Duration | None = None) -> Any:
        """Move its start to `delay` from now; without one, it starts now. Only before its first attempt."""
        return self._executions.reschedule(self.id, delay)

    def rerun(self, from_step: str | None = None) -> Any:
        """A new execution with the same arguments; answers with its handle.

        With `from_step` it takes over what was finished before that step, wait or call, and goes on from there.
        """
        return self._executions.rerun(self.id, from_step)

    def resume(self) -> Any:
        """Let it go on after a pause on failure. Raises PenstockError `wrong_state` when it is not paused."""
        return self._executions.resume(self.id)

    def send(self, body: Any = None, channel: str = "default", id: str | None = None) -> Any:  # noqa: A002 - its name
        """Send it a message for `ctx.receive`; answers with the message's id. The same `id` counts once."""
        return self._executions.message(self.id, to_json(body), channel, id)
