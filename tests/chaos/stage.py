"""What every chaos run has in common: a product with a second runner, load, faults, and the log afterwards."""

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from chaos.checker import History, Trigger
from chaos.harvest import read_history
from chaos.nemesis import Nemesis
from chaos.second import Second
from penstock.domain.execution.facts import kind_of
from penstock_process import Penstock, penstock

SEED = int(os.environ.get("CHAOS_SEED", "1"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "45"))
HERE = Path(__file__).parent


class AnyLoad(Protocol):
    """What uses the product meanwhile and keeps a journal."""

    @property
    def triggers(self) -> Sequence[Trigger]: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


L = TypeVar("L", bound=AnyLoad)


class Aftermath(NamedTuple, Generic[L]):
    """What is left when the faults are over; the product still runs, the second runner does not."""

    product: Penstock
    load: L
    history: History
    events_last: int
    untimed: list[str]
    far: set[str]
    """Executions that are not due for long."""


def summary(history: History) -> list[str]:
    """What happened, in lines for whoever looks on."""
    states = Counter(f"{state.function} {state.state}" for state in history.states.values())
    kinds = Counter(kind_of(fact) for facts in history.facts.values() for fact in facts)
    errors = Counter(f"{state.function} {state.error.code}" for state in history.states.values() if state.error)
    losses = Counter(state.losses for state in history.states.values() if state.losses)
    return [
        f"states: {dict(states)}",
        f"facts: {dict(kinds)}",
        f"last errors: {dict(errors)}",
        f"{len(history.states)} executions, {history.position} facts, lost attempts: {dict(losses)}",
    ]


@contextmanager
def chaos(
    folder: Path, app: str, make_load: Callable[[Penstock, Second, str], L], tell: Callable[[str], None]
) -> Iterator[Aftermath[L]]:
    """Run the app of this name under load and faults for SECONDS."""
    tell(f"\nseed {SEED}, {SECONDS:g} s; logs in {folder} (another: make chaos SEED=2 SECONDS=60)")
    shutil.copy(HERE / f"{app}.py", folder)
    with penstock(folder, f"{app}:app", PENSTOCK_LOG_LEVEL="info", PENSTOCK_GRACE="1") as product:
        second = Second(product, f"{app}:app")
        second.start()
        try:
            load = make_load(product, second, (product.data / "api-key").read_text().strip())
            load.start()
            nemesis = Nemesis(product, second, SEED, tell)
            nemesis.rampage(SECONDS)
            load.stop()
            tell(f"faults: {dict(nemesis.done)}")
            far = {execution for trigger in load.triggers if trigger.door == "far" for execution in trigger.ids}
            history, events_last, untimed = asyncio.run(read_history(product, far))
        finally:
            second.stop()
        yield Aftermath(product, load, history, events_last, untimed, far)
