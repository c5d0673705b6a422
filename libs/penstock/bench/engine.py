"""The admission engine alone: CPU per admission with few and with very many executions waiting."""

import gc
import time

import msgspec

from penstock.domain.execution import facts as f
from penstock.domain.flow.admission import decide
from penstock.domain.flow.fold import apply
from penstock.domain.flow.limits import CONCURRENCY, FlowOptions
from penstock.domain.flow.state import FlowState

FUNCTION = "work"
START = 1_700_000_000_000_000
STEP_US = 50
ROUND = 100


class Engine:
    """A state with a backlog that stays as large as it is: for each execution that ends another one comes."""

    def __init__(self, backlog: int, keys: int) -> None:
        self.state = FlowState()
        self.keys = keys
        self._made = self._sequence = 0
        flow = FlowOptions(concurrency_key="args[0]") if keys > 1 else FlowOptions()
        self.state.declare(FUNCTION, max(1, ROUND // keys), flow)
        for _ in range(backlog):
            self._enqueue()

    def admit(self, admissions: int) -> float:
        """CPU seconds per admission, with all that the log tells about each of them."""
        done, began = 0, time.process_time()
        while done < admissions:
            for item in decide(self.state, self._now(), ROUND).admitted:
                self._tell(item.id, f.Admitted(n=2, at=self._now()))
                self._tell(item.id, f.Succeeded(n=3, at=self._now(), attempt=1))
                self._enqueue()
                done += 1
        return (time.process_time() - began) / done

    def _enqueue(self) -> None:
        number = self._made
        self._made += 1
        keys = {CONCURRENCY: str(number % self.keys)} if self.keys > 1 else {}
        execution_id = f"{number:032x}"
        self._tell(
            execution_id,
            f.Enqueued(n=1, at=self._now(), function=FUNCTION, trace_id=execution_id, gated=True, keys=keys),
        )

    def _tell(self, execution_id: str, fact: f.AnyFact) -> None:
        self._sequence += 1
        apply(self.state, execution_id, FUNCTION, self._sequence, fact)

    def _now(self) -> int:
        return START + self._sequence * STEP_US


class Backlog(msgspec.Struct, frozen=True):
    """Microseconds of CPU per admission with two backlogs, and how they compare."""

    small: int
    large: int
    keys: int
    small_us: float
    large_us: float

    @property
    def growth(self) -> float:
        return self.large_us / self.small_us - 1


def backlog(small: int, large: int, keys: int, admissions: int, runs: int) -> Backlog:
    """Both in turn, so that a noisy minute hits both; the least of each, since noise only adds."""
    gc.disable()
    try:
        engines = Engine(small, keys), Engine(large, keys)
        found = [[engine.admit(admissions) * 1e6 for engine in engines] for _ in range(runs)]
    finally:
        gc.enable()
    return Backlog(small, large, keys, *(min(row[index] for row in found) for index in (0, 1)))
