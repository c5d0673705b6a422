"""What a running attempt knows and may do: its identity, its logger and its steps."""

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from penstock.domain.errors import Rejected
from penstock.domain.function.options import CallOptions
from penstock.domain.limits import step_name_chars_max


class AttemptPort(Protocol):
    """What the worker process offers to the attempt it runs.

    For an `async def` function each of these answers with an awaitable, for a plain `def` with the value itself.
    """

    def step(self, key: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The stored result of the step, or the result of calling `function`, stored before this returns."""

    def enqueue(self, function: str, args: bytes, kwargs: bytes, options: CallOptions) -> Any:
        """The handle of a new execution whose parent is this one."""


class Context:
    """Declared as a parameter, it is filled in by the worker process. Fields do not change during an attempt."""

    __slots__ = (
        "_logger",
        "_names",
        "_port",
        "attempt",
        "execution_id",
        "function",
        "metadata",
        "parent_id",
        "root_id",
        "trace_id",
    )

    def __init__(
        self,
        port: AttemptPort,
        *,
        execution_id: str,
        attempt: int,
        function: str,
        metadata: dict[str, str],
        parent_id: str | None = None,
        root_id: str | None = None,
        trace_id: str = "",
    ) -> None:
        self._port = port
        self._names: dict[str, int] = {}
        self._logger: logging.Logger | None = None
        self.execution_id = execution_id
        self.attempt = attempt
        self.function = function
        self.metadata = metadata
        self.parent_id = parent_id
        self.root_id = root_id or execution_id
        self.trace_id = trace_id

    @property
    def logger(self) -> logging.Logger:
        """A standard logger; its lines are kept with the attempt."""
        if self._logger is None:
            self._logger = logging.getLogger(f"penstock.function.{self.function}")
        return self._logger

    def step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `function` once and keep its result: later attempts get the stored result instead of calling again.

        Await it in an `async def` function. The same name used again in one attempt is numbered `name#2`, `name#3`, ...
        in the order of the calls, so a loop may use one name. The result passes through JSON, on the first
        attempt as on later ones.
        """
        return self._port.step(self._numbered(name), function, args, kwargs)

    def _numbered(self, name: str) -> str:
        if not isinstance(name, str) or not 1 <= len(name) <= step_name_chars_max or "#" in name:
            raise Rejected(
                "invalid_name", f"A step name has 1 to {step_name_chars_max} characters without '#', not {name!r:.80}."
            )
        count = self._names.get(name, 0) + 1
        self._names[name] = count
        return name if count == 1 else f"{name}#{count}"


current_attempt: ContextVar[AttemptPort | None] = ContextVar("penstock_attempt", default=None)
"""The attempt whose code is running, in a worker process; None anywhere else."""
