"""Whatever is killed, frozen or cut off, and whenever: nothing accepted is lost, nothing stays stuck."""

import asyncio
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from chaos.checker import TICKING, check
from chaos.harvest import read_history, view_complaints
from chaos.load import Load
from chaos.nemesis import Nemesis
from chaos.second import Second
from penstock_process import penstock

SEED = int(os.environ.get("CHAOS_SEED", "1"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "45"))
HERE = Path(__file__).parent


@pytest.mark.chaos
@pytest.mark.timeout(420)
def test_nothing_is_lost_and_nothing_is_stuck(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole log, the journal of the client, the notes of user code and the view agree afterwards."""

    def tell(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)

    tell(f"\nseed {SEED}, {SECONDS:g} s; logs in {tmp_path} (another: make chaos SEED=2 SECONDS=60)")
    shutil.copy(HERE / "chaos_app.py", tmp_path)
    with penstock(tmp_path, "chaos_app:app", PENSTOCK_LOG_LEVEL="info", PENSTOCK_GRACE="1") as product:
        second = Second(product, "chaos_app:app")
        second.start()
        try:
            key = (product.data / "api-key").read_text().strip()
            ports = [product.http_port, product.http_port, second.http_port]
            load = Load(ports, product.nats_port, key, SEED, tmp_path / "requests.jsonl")
            load.start()
            nemesis = Nemesis(product, second, SEED, tell)
            nemesis.rampage(SECONDS)
            load.stop()
            tell(f"faults: {dict(nemesis.done)}")
            far = {execution for trigger in load.triggers if trigger.door == "far" for execution in trigger.ids}
            history, events_last, untimed = asyncio.run(read_history(product, far))
        finally:
            second.stop()
        effects = [json.loads(line) for line in (tmp_path / "effects.jsonl").read_text().splitlines()]
        complaints = check(history, load.triggers, effects, events_last, far) + untimed
        if not any(state.function == TICKING for state in history.states.values()):
            complaints.append("the schedule never ticked")
        # Ticks go on meanwhile, so that the view has more of them than the log had then; a rebuild compares all.
        done = {each: state for each, state in history.states.items() if state.function != TICKING}
        complaints += view_complaints(product, done)
        doors = Counter(f"{each.door}{'' if each.accepted else ' (unknown)'}" for each in load.triggers)
        tell(f"triggers: {dict(doors)}")
        tell(f"states: {dict(Counter(str(state.state) for state in history.states.values()))}")
        errors = Counter(f"{state.function} {state.error.code}" for state in history.states.values() if state.error)
        tell(f"last errors: {dict(errors)}")
        losses = Counter(state.losses for state in history.states.values() if state.losses)
        tell(f"{len(history.states)} executions, {history.position} facts, lost attempts: {dict(losses)}")
    assert not complaints, "\n".join(complaints)
