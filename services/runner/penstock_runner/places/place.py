"""What the executor asks of a place where attempts run."""

from typing import Protocol

from penstock.domain.function.options import FunctionSpec
from penstock_runner.workers.assignment import Assignment, Ending, Killed
from penstock_runner.workers.slots import Slots


class Place(Protocol):
    """Runs attempts. Whoever calls `run` holds one of the `slots`."""

    def slots(self, spec: FunctionSpec) -> Slots:
        """Where attempts of this function find room."""

    async def ready(self, spec: FunctionSpec) -> None:
        """Until an attempt of this function could begin at once."""

    async def run(self, spec: FunctionSpec, assignment: Assignment, timeout: float | None) -> Ending:
        """Run the attempt to its end, whatever that is; after `timeout` seconds it has timed out."""

    def stop(self, assignment: Assignment, verdict: Killed, force: bool = False) -> None:
        """End an attempt wherever it stands, with a grace to clean up unless forced."""

    def retire(self) -> None:
        """The end is near: replace nothing any more."""

    async def close(self) -> None:
        """Stop all that still runs, and leave nothing behind."""
