"""Which version of a function goes on with an execution that another version began."""

import asyncio
from collections.abc import Mapping

from penstock.domain.execution.commands import Fail
from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.execution.state import Execution
from penstock.domain.function.options import FunctionSpec
from penstock.jetstream.leases import LeaseTable

FRESH_SECONDS = 1.0
"""How long a look at the living runners is good for."""
ELSEWHERE_SECONDS = 1.0
"""How long an item is put aside that a runner with the right version should take."""


class LiveVersions:
    """The versions that living runners have, as their leases say."""

    def __init__(self, leases: LeaseTable) -> None:
        self._leases = leases
        self._known: Mapping[str, Mapping[str, str]] = {}
        self._looked_at: float | None = None

    async def has(self, function: str, version: str) -> bool:
        """Whether a living runner has it. Raises Unavailable: not being able to look is no proof of absence."""
        now = asyncio.get_running_loop().time()
        if self._looked_at is None or now - self._looked_at > FRESH_SECONDS:
            self._known = await self._leases.versions()
            self._looked_at = now
        return any(functions.get(function) == version for functions in self._known.values())


def is_pinned_elsewhere(state: Execution, spec: FunctionSpec) -> bool:
    """Whether it was begun by another version than this. One without a version, or just resumed, belongs to any."""
    return state.has_started and not state.owner and state.version not in ("", spec.version)


def refusal(state: Execution, activation: int, spec: FunctionSpec) -> Fail | None:
    """What the function wants when its version is nowhere any more; None: this version goes on."""
    if spec.on_version_change == "continue":
        return None
    text = (
        f"It began with version {state.version!r} of {spec.name}, which no living runner has; "
        f"this one has {spec.version!r}."
    )
    error = ErrorInfo(code="version_changed", message=text)
    pause = spec.on_version_change == "pause"
    return Fail(activation=activation, error=error, policy=spec.policy, terminal=True, pause=pause)
