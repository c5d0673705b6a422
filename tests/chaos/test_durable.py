"""Durable functions among the same faults: no step is computed again, no wait is missed, no family is torn apart."""

import asyncio
import json
import os
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from chaos.checker import History, check
from chaos.durable_checker import FAILING, check_durable
from chaos.durable_load import DurableLoad, read_effects
from chaos.harvest import read_history, view_complaints
from chaos.nemesis import Nemesis
from chaos.second import Second
from penstock.domain.execution import facts as f
from penstock_process import penstock

SEED = int(os.environ.get("CHAOS_SEED", "1"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "45"))
HERE = Path(__file__).parent


@pytest.mark.chaos
@pytest.mark.timeout(480)
def test_durable_functions_survive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The log, the client, the notes of user code and the view agree afterwards."""

    def tell(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)

    tell(f"\nseed {SEED}, {SECONDS:g} s; logs in {tmp_path} (another: make chaos SEED=2 SECONDS=60)")
    shutil.copy(HERE / "durable_app.py", tmp_path)
    with penstock(tmp_path, "durable_app:app", PENSTOCK_LOG_LEVEL="info", PENSTOCK_GRACE="1") as product:
        second = Second(product, "durable_app:app")
        second.start()
        try:
            key = (product.data / "api-key").read_text().strip()
            load = DurableLoad([product.http_port, second.http_port], key, SEED, tmp_path)
            load.start()
            nemesis = Nemesis(product, second, SEED, tell)
            nemesis.rampage(SECONDS)
            load.stop()
            tell(f"faults: {dict(nemesis.done)}")
            far = {execution for trigger in load.triggers if trigger.door == "far" for execution in trigger.ids}
            history, events_last, untimed = asyncio.run(read_history(product, far))
        finally:
            second.stop()
        effects = read_effects(tmp_path / "effects.jsonl")
        complaints = check(history, load.triggers, effects, events_last, far, FAILING) + untimed + load.refused
        complaints += check_durable(history, effects, load.messages, time.time_ns() // 1000)
        complaints += view_complaints(product, history.states)
        for line in _summary(history):
            tell(line)
        (tmp_path / "complaints.json").write_text(json.dumps(complaints, indent=1))
    assert not complaints, "\n".join(complaints)


def _summary(history: History) -> list[str]:
    states = Counter(f"{state.function} {state.state}" for state in history.states.values())
    kinds = Counter(f.kind_of(fact) for facts in history.facts.values() for fact in facts)
    errors = Counter(f"{state.function} {state.error.code}" for state in history.states.values() if state.error)
    losses = Counter(state.losses for state in history.states.values() if state.losses)
    return [
        f"states: {dict(states)}",
        f"facts: {dict(kinds)}",
        f"last errors: {dict(errors)}",
        f"{len(history.states)} executions, {history.position} facts, lost attempts: {dict(losses)}",
    ]
