"""What a piece of work is about: noted where work on one execution begins, and read only when a line is written.

Every task has a context of its own, so what is noted in one is not seen in another. Lines of libraries get it too.
"""

import re
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from penstock.domain.execution.state import Execution
from penstock.domain.trace import parse_traceparent

_EXECUTION = re.compile(r"/executions/([0-9a-f]{32})(?:/|$)")


class Concern:
    """An execution under way. What is not known yet is empty, and not shown."""

    __slots__ = ("attempt", "execution", "function", "trace_id")

    def __init__(self, execution: str, function: str = "", trace_id: str = "", attempt: int = 0) -> None:
        self.execution = execution
        self.function = function
        self.trace_id = trace_id
        self.attempt = attempt

    def learn(self, state: Execution) -> None:
        """Its history has been read."""
        self.function, self.trace_id, self.attempt = state.function, state.trace_id, state.attempt

    def fields(self) -> dict[str, Any]:
        """What lines about it carry."""
        known = {
            "execution": self.execution, "function": self.function, "trace_id": self.trace_id, "attempt": self.attempt
        }  # fmt: skip
        return {name: value for name, value in known.items() if value}


class RequestConcern:
    """A request at the HTTP port. Of its address only what cannot be a secret is shown."""

    __slots__ = ("_headers", "_path", "_request_id", "method")

    def __init__(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> None:
        self.method = method
        self._path = path
        self._headers = headers
        self._request_id = ""

    @property
    def request_id(self) -> str:
        """By which whoever got the answer and whoever reads the lines can speak of it."""
        if not self._request_id:
            self._request_id = uuid.uuid4().hex
        return self._request_id

    def fields(self) -> dict[str, Any]:
        """What lines about it carry."""
        found: dict[str, Any] = {"request_id": self.request_id, "method": self.method}
        execution = _EXECUTION.search(self._path)
        if execution is not None:
            found["execution"] = execution[1]
        caller = parse_traceparent(self._headers.get(b"traceparent", b"").decode("latin-1"))
        if caller is not None:
            found["trace_id"] = caller.trace_id
        return found


_current: ContextVar[Concern | RequestConcern | None] = ContextVar("penstock_concern", default=None)


def concerning(execution: str, function: str = "", trace_id: str = "", attempt: int = 0) -> Concern:
    """From here on this task works on that execution. Fill in what is learned of it later."""
    concern = Concern(execution, function, trace_id, attempt)
    _current.set(concern)
    return concern


def concerning_request(method: str, path: str, headers: Mapping[bytes, bytes]) -> None:
    """From here on this task answers that request."""
    _current.set(RequestConcern(method, path, headers))


def without_concern() -> None:
    """This task goes on to something else."""
    _current.set(None)


def request_id() -> str:
    """The id of the request that this task answers; empty if it answers none."""
    concern = _current.get()
    return concern.request_id if isinstance(concern, RequestConcern) else ""


def concern_fields() -> dict[str, Any]:
    """What a line that is written now is about."""
    concern = _current.get()
    return concern.fields() if concern is not None else {}
