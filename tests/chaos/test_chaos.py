"""Whatever is killed, frozen or cut off, and whenever: nothing accepted is lost, nothing stays stuck."""

import asyncio
import json
import os
import shutil
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chaos.checker import TICKING, History, check
from chaos.load import Load
from chaos.nemesis import Nemesis
from chaos.second import Second
from penstock.domain.execution.state import Execution
from penstock.jetstream.access import OPERATOR
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.timers import JetStreamTimers
from penstock.service.access import open_connection, read_passwords
from penstock.service.settings import Settings
from penstock.wire.names import START_WAIT, Names
from penstock_process import Penstock, penstock

SEED = int(os.environ.get("CHAOS_SEED", "1"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "45"))
QUIET_SECONDS = 75.0
"""Longer than a lease, a redelivery and a repair one after the other."""
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
        second = Second(product)
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
            history, events_last, untimed = asyncio.run(_history(product, far))
        finally:
            second.stop()
        effects = [json.loads(line) for line in (tmp_path / "effects.jsonl").read_text().splitlines()]
        complaints = check(history, load.triggers, effects, events_last, far) + untimed
        if not any(state.function == TICKING for state in history.states.values()):
            complaints.append("the schedule never ticked")
        # Ticks go on meanwhile, so that the view has more of them than the log had then; a rebuild compares all.
        done = {each: state for each, state in history.states.items() if state.function != TICKING}
        complaints += _view_complaints(product, done)
        doors = Counter(f"{each.door}{'' if each.accepted else ' (unknown)'}" for each in load.triggers)
        tell(f"triggers: {dict(doors)}")
        tell(f"states: {dict(Counter(str(state.state) for state in history.states.values()))}")
        errors = Counter(f"{state.function} {state.error.code}" for state in history.states.values() if state.error)
        tell(f"last errors: {dict(errors)}")
        losses = Counter(state.losses for state in history.states.values() if state.losses)
        tell(f"{len(history.states)} executions, {history.position} facts, lost attempts: {dict(losses)}")
    assert not complaints, "\n".join(complaints)


async def _history(product: Penstock, far: set[str]) -> tuple[History, int, list[str]]:
    """The log once every execution is final, or the quiet time is over."""
    settings = Settings(data_dir=str(product.data), nats_port=product.nats_port)
    names = Names(settings.env)
    async with AsyncExitStack() as stack:
        connection = await open_connection(stack, settings, read_passwords(settings), OPERATOR, "checker")
        log = JetStreamLog(connection, names)
        stack.push_async_callback(log.close)
        history = History(names)
        deadline = time.monotonic() + QUIET_SECONDS
        while True:
            last = await log.last_sequence()
            events_last = (await connection.js.stream_info(names.events)).state.last_seq
            if last > history.position:
                async for batch in log.follow(history.position):
                    history.add(batch)
                    if history.position >= last:
                        break
            is_open = any(not state.is_final and each not in far for each, state in history.states.items())
            is_settled = len(history.settled_events) >= events_last
            if (not is_open and is_settled) or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.5)
        timers = JetStreamTimers(connection, names)
        untimed = [
            f"{each} waits without a wake-up"
            for each, state in history.states.items()
            if state.wakes_at is not None and not await timers.pending(each, START_WAIT)
        ]
    return history, events_last, untimed


def _view_complaints(product: Penstock, states: dict[str, Execution]) -> list[str]:
    seen = _all_executions(product)
    complaints = [
        f"{each}: the view says {seen.get(each)}, the log {state.state}"
        for each, state in states.items()
        if seen.get(each) != state.state
    ]
    complaints += [f"{each}: in the view, not in the log" for each in seen.keys() - states.keys()]
    rebuilt = product.run("rebuild", "--json")
    if rebuilt.returncode != 0:
        complaints.append(f"the view is not what the log folds to: {rebuilt.stdout}{rebuilt.stderr}")
    return complaints


def _all_executions(product: Penstock) -> dict[str, str]:
    key = (product.data / "api-key").read_text().strip()
    seen: dict[str, str] = {}
    cursor: str | None = ""
    with httpx2.Client(headers={"Authorization": f"Bearer {key}"}, timeout=10) as client:
        while cursor is not None:
            query: dict[str, Any] = {"limit": 500, **({"cursor": cursor} if cursor else {})}
            answer = client.get(f"http://127.0.0.1:{product.http_port}/v1/executions", params=query)
            answer.raise_for_status()
            page = answer.json()
            seen.update((each["id"], each["state"]) for each in page["data"] if each["function"] != TICKING)
            cursor = page["next"]
    return seen
