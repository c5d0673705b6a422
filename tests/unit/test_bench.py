"""The benchmark's parts by name, the engine in small, and the table."""

import pytest

from penstock.bench.engine import Engine, backlog
from penstock.bench.rows import rows
from penstock.bench.run import GROUPS, PARTS, Plan, chosen
from penstock.domain.errors import Rejected


def test_without_a_choice_everything_is_measured_that_the_plan_has() -> None:
    """History takes long and has to be asked for."""
    assert chosen((), Plan()) == [name for name in PARTS if name != "history"]
    assert chosen((), Plan(history=1_000_000)) == list(PARTS)


def test_parts_are_chosen_by_name_and_by_group() -> None:
    """In the order of the table, each once."""
    assert chosen(("schedules", "flow", "restart"), Plan()) == [*GROUPS["flow"], "schedules"]


@pytest.mark.parametrize("name", ["nothing", "history"])
def test_a_part_that_cannot_be_measured_is_refused(name: str) -> None:
    """A mistyped one, and one whose size is missing."""
    with pytest.raises(Rejected, match="--"):
        chosen((name,), Plan())


@pytest.mark.parametrize("keys", [1, 10])
def test_the_backlog_stays_what_it_is(keys: int) -> None:
    """For each execution that ends another one comes, so that both ends of the comparison do the same."""
    engine = Engine(60, keys)
    engine.admit(500)
    assert len(engine.state.items) == 60
    found = backlog(60, 600, keys, 200, runs=1)
    assert found.small_us > 0
    assert found.large_us > 0


def test_every_part_has_its_row() -> None:
    """What was not measured has none."""
    report = {
        "plan": {},
        "machine": [{"additions_seconds": 1.0, "load": 0.5}, {"additions_seconds": 2.0, "load": 3.0}],
        "tracing": {"cpu_seconds_per_1000_with": 0.55, "cpu_seconds_per_1000_without": 0.5, "share": 0.1},
        "latency": {"p50_ms": 5.0, "p99_ms": 9.0},
        "ingest_single": None,
        "backlog": {"one": {"small": 100, "large": 1000, "keys": 1, "small_us": 2.0, "large_us": 2.1, "growth": 0.05}},
        "admissions": {"keys": 10, "per_second": 2000.0, "scheduler_cpu_us": 50.0},
        "restart": {"waiting": 10, "decides_after_seconds": 1.5, "cpu_seconds": 1.0, "resident_megabytes": 90.0},
        "delayed": {"executions": 5, "last_started": 0.6, "last_due": 0.3, "raw_last": 0.2, "earliest": 0.05},
        "schedules": {
            "schedules": 7, "seconds": 60.0, "with_schedules": 1.2, "without_schedules": 1.0, "share_of_a_core": 0.003
        },
    }  # fmt: skip
    found = {row[0]: row[1:] for row in rows(report)}
    assert found["5 due at one instant: last started, s"] == ("0.60", "0.20", "3.0 times; the earliest +50 ms")
    assert found["CPU µs per admission, 1 keys: 100 / 1,000 waiting"] == ("2.0 / 2.1", "", "+5%")
    assert found["tracing every execution: CPU s per 1,000"] == ("0.550 (0.500 without)", "", "+10%")
    assert len(found) == 10
