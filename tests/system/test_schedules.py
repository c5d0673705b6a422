"""Schedules from code to ledger: `penstock up`, the API and the commands, and a deploy that drops one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock_process import Penstock, penstock, until

CLOCK = """
from penstock import App, Context, Event

app = App("clock")


@app.every("1s", overlap="skip")
def beat(ctx: Context, event: Event) -> str:
    return event.data["tick"]


@app.cron("0 8 * * MON", timezone="Europe/Paris", retries=2)
async def weekly() -> str:
    return "brief"


@app.function
def greet(name: str) -> str:
    return f"hello {name}"
"""


def deploy(folder: Path, source: str) -> None:
    (folder / "clock.py").write_text(source, encoding="utf-8")


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    """`penstock up clock:app`, shared."""
    folder = tmp_path_factory.mktemp("clock")
    deploy(folder, CLOCK)
    with penstock(folder, "clock:app") as running:
        yield running


def listed(product: Penstock) -> dict[str, dict[str, object]]:
    return {each["key"]: each for each in product.json("schedules", "list")["data"]}


def test_what_code_declares_ticks_and_tells_its_tick(clock: Penstock) -> None:
    """The function learns it from the event; the ledger names the execution."""

    def done() -> list[dict[str, object]]:
        return list(clock.json("executions", "list", "--function", "beat", "--state", "succeeded")["data"])

    execution = until(done)[0]
    shown = clock.json("schedules", "show", "beat")
    ticks = {tick["execution_id"]: tick["tick"] for tick in shown["ticks"]}
    assert execution["id"] in ticks
    assert clock.json("executions", "show", str(execution["id"]))["result"] == ticks[execution["id"]]
    assert (shown["source"], shown["every"], shown["overlap"], shown["state"]) == ("code", "1s", "skip", "active")


def test_a_declared_schedule_is_listed_with_its_next_five_ticks(clock: Penstock) -> None:
    """In its zone, and nothing has happened yet."""
    weekly = until(lambda: listed(clock).get("weekly"))
    assert (weekly["cron"], weekly["timezone"], weekly["last_tick"]) == ("0 8 * * MON", "Europe/Paris", None)
    assert len(weekly["next_ticks"]) == 5
    assert str(weekly["summary"]).startswith("Runs next at ")


def test_a_cron_function_can_be_called_like_any_other(clock: Penstock) -> None:
    """An ordinary execution."""
    assert clock.json("call", "weekly", "--wait")["result"] == "brief"


def test_the_commands_pause_resume_and_trigger(clock: Penstock) -> None:
    """Each says how things stand then."""
    assert clock.json("schedules", "pause", "weekly")["state"] == "paused"
    until(lambda: listed(clock)["weekly"]["state"] == "paused")
    assert "paused" in clock.run("schedules", "list").stdout
    assert clock.json("schedules", "resume", "weekly")["state"] == "active"
    execution = clock.json("schedules", "trigger", "weekly")["id"]
    until(lambda: clock.json("executions", "show", execution)["state"] == "succeeded")
    assert "triggered" in clock.run("schedules", "show", "weekly").stdout
    failed = clock.run("schedules", "pause", "nothing")
    assert (failed.returncode, failed.stderr.startswith("unknown_schedule: ")) == (1, True)


def test_a_backfill_runs_each_tick_of_the_span(clock: Penstock) -> None:
    """And the ledger lists them."""
    answer = clock.json(
        "schedules", "backfill", "weekly", "--from", "2026-01-01T00:00:00Z", "--to", "2026-02-01T00:00:00Z"
    )
    assert answer["ticks"] == 4

    def reasons() -> list[str]:
        return [tick["reason"] for tick in clock.json("schedules", "show", "weekly")["ticks"]]

    until(lambda: reasons().count("backfilled") == 4)


def test_the_view_is_rebuilt_equal_with_schedules_in_it(clock: Penstock) -> None:
    """Schedules and ticks are functions of the log alone."""
    assert clock.run("rebuild", within=60).returncode == 0


def test_a_deploy_removes_what_the_code_declares_no_more(tmp_path: Path) -> None:
    """After a restart with the new version."""
    deploy(tmp_path, CLOCK)
    with penstock(tmp_path, "clock:app") as product:
        until(lambda: set(listed(product)) == {"beat", "weekly"})
        assert product.stop() == 0
        deploy(tmp_path, CLOCK.replace('@app.every("1s", overlap="skip")', '@app.function(on="x.y")'))
        product.start()
        until(lambda: set(listed(product)) == {"weekly"})
