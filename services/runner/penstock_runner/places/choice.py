"""The choice of the place: worker processes for Python, requests for `http`, processes of their own for `command`."""

from collections.abc import Mapping, Sequence

from penstock.domain.function.options import FunctionSpec
from penstock.domain.function.target import CommandTarget, HttpTarget
from penstock_runner.places.commands import CommandPlace, check_commands
from penstock_runner.places.place import Place
from penstock_runner.workers.assignment import Assignment, Ending, Killed
from penstock_runner.workers.pool import Pool
from penstock_runner.workers.slots import Slots


class Places:
    """One place for all functions: it passes each attempt to where it belongs."""

    def __init__(
        self, pool: Pool, environment: Mapping[str, str], hidden: Sequence[str] | None, egress_allow: str
    ) -> None:
        self._pool = pool
        self._environment = environment
        self._hidden = hidden
        self._egress_allow = egress_allow
        self._other: dict[type, Place] = {}
        self._where: dict[int, Place] = {}

    async def open(self, specs: Sequence[FunctionSpec]) -> None:
        """Make what these functions need. Raises Rejected `invalid_option` for a missing secret or command."""
        if any(isinstance(spec.target, HttpTarget) for spec in specs):
            # Loaded only by those who use it: an HTTP client takes a while and some memory.
            from penstock_runner.places.web import open_web

            self._other[HttpTarget] = await open_web(specs, self._egress_allow)
        if any(isinstance(spec.target, CommandTarget) for spec in specs):
            check_commands(specs, self._environment.get("PATH"))
            self._other[CommandTarget] = CommandPlace(self._pool.own_slots, self._environment, self._hidden)

    async def close(self) -> None:
        """Stop all that still runs."""
        for place in (*self._other.values(), self._pool):
            await place.close()

    def slots(self, spec: FunctionSpec) -> Slots:
        return self._place(spec).slots(spec)

    async def ready(self, spec: FunctionSpec) -> None:
        await self._place(spec).ready(spec)

    async def run(self, spec: FunctionSpec, assignment: Assignment, timeout: float | None) -> Ending:
        number = assignment.run.number
        place = self._where[number] = self._place(spec)
        try:
            return await place.run(spec, assignment, timeout)
        finally:
            del self._where[number]

    def stop(self, assignment: Assignment, verdict: Killed, force: bool = False) -> None:
        self._where.get(assignment.run.number, self._pool).stop(assignment, verdict, force)

    def retire(self) -> None:
        for place in (*self._other.values(), self._pool):
            place.retire()

    def _place(self, spec: FunctionSpec) -> Place:
        return self._pool if spec.target is None else self._other[type(spec.target)]
