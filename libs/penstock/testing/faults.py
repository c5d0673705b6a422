"""Faults that a simulation is told to bring about."""

from collections.abc import Callable
from typing import Any


class RunnerLost(BaseException):
    """The attempt is gone, as when its runner is killed. Not an Exception: the code does not see it."""


class Faults:
    """What goes wrong, how often, and where."""

    def __init__(self) -> None:
        self._failures: list[_Fault] = []
        self._losses: list[_Fault] = []

    def fail(self, step: str, times: int, error: Exception, function: str | None) -> None:
        """The next `times` tries of the step raise this instead of running."""
        self._failures.append(_Fault(step, times, function, error))

    def lose(self, step: str, times: int, after: bool, function: str | None) -> None:
        """The next `times` tries of the step lose their attempt, before it runs or after it ran and was not stored."""
        self._losses.append(_Fault(step, times, function, None, after))

    def before(self, function: str, step: str) -> None:
        """Raises what is to go wrong before the step runs."""
        self._strike(self._losses, function, step, after=False)
        self._strike(self._failures, function, step, after=False)

    def after(self, function: str, step: str) -> None:
        """Raises what is to go wrong when the step has run and before its result is stored."""
        self._strike(self._losses, function, step, after=True)

    def wrapped(self, function: str, step: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The function of a step with its faults around it. What it answers with may be awaitable."""

        def struck(*args: Any, **kwargs: Any) -> Any:
            self.before(function, step)
            value = call(*args, **kwargs)
            if hasattr(value, "__await__"):
                return self._then(function, step, value)
            self.after(function, step)
            return value

        return struck

    async def _then(self, function: str, step: str, awaitable: Any) -> Any:
        value = await awaitable
        self.after(function, step)
        return value

    def _strike(self, faults: "list[_Fault]", function: str, step: str, *, after: bool) -> None:
        for fault in faults:
            if fault.left > 0 and fault.after == after and fault.step == step and fault.function in (None, function):
                fault.left -= 1
                raise fault.error if fault.error is not None else RunnerLost()


class _Fault:
    def __init__(
        self, step: str, times: int, function: str | None, error: Exception | None, after: bool = False
    ) -> None:
        self.step = step
        self.left = times
        self.function = function
        self.error = error
        self.after = after
