"""Durable functions among the same faults: no step is computed again, no wait is missed, no family is torn apart."""

import json
import time
from pathlib import Path

import pytest

from chaos.checker import check
from chaos.durable_checker import FAILING, check_durable
from chaos.durable_load import DurableLoad, read_effects
from chaos.harvest import view_complaints
from chaos.second import Second
from chaos.stage import SEED, chaos, summary
from penstock_process import Penstock


@pytest.mark.chaos
@pytest.mark.timeout(480)
def test_durable_functions_survive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The log, the client, the notes of user code and the view agree afterwards."""

    def tell(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)

    def load(product: Penstock, second: Second, key: str) -> DurableLoad:
        return DurableLoad([product.http_port, second.http_port], key, SEED, tmp_path)

    with chaos(tmp_path, "durable_app", load, tell) as after:
        history, triggers = after.history, after.load.triggers
        effects = read_effects(tmp_path / "effects.jsonl")
        complaints = check(history, triggers, effects, after.events_last, after.far, FAILING)
        complaints += after.untimed + after.load.refused
        complaints += check_durable(history, effects, after.load.messages, time.time_ns() // 1000)
        complaints += view_complaints(after.product, history.states)
        for line in summary(history):
            tell(line)
        (tmp_path / "complaints.json").write_text(json.dumps(complaints, indent=1))
    assert not complaints, "\n".join(complaints)
