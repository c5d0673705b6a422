"""Whatever is killed, frozen or cut off, and whenever: nothing accepted is lost, nothing stays stuck."""

import json
from collections import Counter
from pathlib import Path

import pytest

from chaos.checker import TICKING, check
from chaos.harvest import view_complaints
from chaos.load import Load
from chaos.second import Second
from chaos.stage import SEED, chaos, summary
from penstock_process import Penstock


@pytest.mark.chaos
@pytest.mark.timeout(420)
def test_nothing_is_lost_and_nothing_is_stuck(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole log, the journal of the client, the notes of user code and the view agree afterwards."""

    def tell(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)

    def load(product: Penstock, second: Second, key: str) -> Load:
        ports = [product.http_port, product.http_port, second.http_port]
        return Load(ports, f"nats://127.0.0.1:{product.nats_port}", key, SEED, tmp_path / "requests.jsonl")

    with chaos(tmp_path, "chaos_app", load, tell) as after:
        history, triggers = after.history, after.load.triggers
        effects = [json.loads(line) for line in (tmp_path / "effects.jsonl").read_text().splitlines()]
        complaints = check(history, triggers, effects, after.events_last, after.far) + after.untimed
        if not any(state.function == TICKING for state in history.states.values()):
            complaints.append("the schedule never ticked")
        # Ticks go on meanwhile, so that the view has more of them than the log had then; a rebuild compares all.
        done = {each: state for each, state in history.states.items() if state.function != TICKING}
        complaints += view_complaints(after.product, done)
        doors = Counter(f"{each.door}{'' if each.accepted else ' (unknown)'}" for each in triggers)
        for line in (f"triggers: {dict(doors)}", *summary(history)):
            tell(line)
    assert not complaints, "\n".join(complaints)
