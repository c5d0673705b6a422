"""Services on their own, three NATS servers that are killed one at a time, PostgreSQL: nothing is lost or stuck."""

import asyncio
import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from chaos.checker import TICKING, check
from chaos.harvest import read_history, view_complaints
from chaos.load import Load
from nats_cluster import API_KEY, NODES, NatsCluster, nats_cluster
from penstock.wire.names import Names
from postgres import NoPostgres, running_postgres
from served import Served, served

SEED = int(os.environ.get("CHAOS_SEED", "1"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))
HERE = Path(__file__).parent


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_server_at_a_time_may_die(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also the one that leads the log; and now and then a copy of a service dies too."""

    def tell(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)

    tell(f"\nseed {SEED}, {SECONDS:g} s; logs in {tmp_path} (another: make cluster SEED=2 SECONDS=120)")
    shutil.copy(HERE / "chaos_app.py", tmp_path)
    with ExitStack() as stack:
        try:
            database = stack.enter_context(running_postgres())
        except NoPostgres as reason:
            pytest.skip(str(reason))
        cluster = stack.enter_context(nats_cluster(tmp_path))
        variables = {
            "PENSTOCK_NATS_URL": cluster.url,
            "PENSTOCK_NATS_REPLICAS": "3",
            "PENSTOCK_DATABASE_URL": database,
            "PENSTOCK_APP": "chaos_app:app",
        }
        product = stack.enter_context(served(tmp_path, API_KEY, cluster.passwords, **variables))
        complaints = _examine(cluster, product, tmp_path, tell)
    assert not complaints, "\n".join(complaints)


def _examine(cluster: NatsCluster, product: Served, folder: Path, tell: Callable[[str], None]) -> list[str]:
    ports = [product.ports["ingest-0"], product.ports["ingest-1"]]
    load = Load(ports, cluster.url, API_KEY, SEED, folder / "requests.jsonl")
    load.start()
    done = _rampage(cluster, product, tell)
    load.stop()
    tell(f"faults: {dict(done)}")
    far = {execution for trigger in load.triggers if trigger.door == "far" for execution in trigger.ids}
    history, events_last, untimed = asyncio.run(read_history(product, far))
    effects = [json.loads(line) for line in (folder / "effects.jsonl").read_text().splitlines()]
    complaints = check(history, load.triggers, effects, events_last, far) + untimed
    ticked = {each for each, state in history.states.items() if state.function == TICKING}
    if not ticked:
        complaints.append("the schedule never ticked")
    others = {each: state for each, state in history.states.items() if each not in ticked}
    complaints += view_complaints(product, others)
    complaints += [f"{name} is not running" for name in product.ended()]
    complaints += [
        f"{log.name}: {line}"
        for log in folder.glob("*-?.log")
        for line in log.read_text(errors="replace").splitlines()
        if "ermissions Violation" in line
    ]
    doors = Counter(f"{each.door}{'' if each.accepted else ' (unknown)'}" for each in load.triggers)
    tell(f"triggers: {dict(doors)}")
    tell(f"states: {dict(Counter(str(state.state) for state in history.states.values()))}")
    losses = Counter(state.losses for state in history.states.values() if state.losses)
    tell(f"{len(history.states)} executions, {history.position} facts, lost attempts: {dict(losses)}")
    return complaints


def _rampage(cluster: NatsCluster, product: Served, tell: Callable[[str], None]) -> Counter[str]:
    dice = random.Random(SEED)
    done: Counter[str] = Counter()
    began = time.monotonic()
    stream = Names("dev").executions
    while time.monotonic() - began < SECONDS:
        time.sleep(dice.uniform(2.0, 5.0))
        leads = dice.random() < 0.5
        node = cluster.leader_of(stream) if leads else dice.randrange(NODES)
        assert node is not None
        fault = "kill the leader of the log" if leads else "kill a server"
        tell(f"{time.monotonic() - began:6.2f} {fault} (node {node})")
        done[fault] += 1
        cluster.kill(node)
        cluster.wait_gone(node)
        if dice.random() < 0.4:
            name = dice.choice(["runner-0", "runner-1", "ingest-1", "scheduler-0", "scheduler-1", "query-1"])
            tell(f"{time.monotonic() - began:6.2f} kill {name}")
            done[f"kill {name.partition('-')[0]}"] += 1
            product.kill(name)
            product.start(name)
        time.sleep(dice.uniform(1.0, 6.0))
        cluster.start(node)
        cluster.wait_whole(node)
        for name in product.revive():
            tell(f"{time.monotonic() - began:6.2f}   {name} had ended")
            done["ended by itself"] += 1
        tell(f"{time.monotonic() - began:6.2f}   whole again")
    return done
