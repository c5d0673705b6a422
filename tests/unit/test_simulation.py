"""The test kit: durable functions run to their ends in memory, once and with a replay after each stored thing."""

import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.client.errors import ExecutionFailed
from penstock.domain.execution.facts import Progressed
from penstock.testing import Simulation

sys.path.insert(0, str(Path(__file__).parent.parent / "system"))

import durable_app as d


@pytest.fixture(params=[False, True], ids=["once", "replayed"])
def simulation(request: pytest.FixtureRequest) -> Simulation:
    return Simulation(d.app, replay=request.param)


def journal(folder: Path) -> list[str]:
    return (folder / "journal").read_text().split("\n")[:-1]


def test_steps_sleeps_and_children_run_to_the_end(simulation: Simulation) -> None:
    """Without waiting, and the attempt stays the first."""
    found = simulation.call(d.everything).result()
    assert (found["total"], found["many"], found["first"], found["attempt"]) == (3, [3, 7, 11], [1, None], 1)
    assert [run.state for run in simulation.runs("hangs")] == ["cancelled"]


def test_a_plain_function_runs_to_the_end(simulation: Simulation) -> None:
    """By the same rules."""
    found = simulation.call(d.everything_plainly).result()
    assert found == {"total": 3, "many": [3, 7], "first": [1, 15], "attempt": 1}


def test_waits_side_by_side_end_in_their_order(simulation: Simulation) -> None:
    """The clock moves on when everything waits."""
    assert simulation.call(d.side_by_side).result() == ["400ms", 1, "100ms", "200ms", 2, "3", "50ms"]


def test_what_was_done_is_undone_in_reverse(simulation: Simulation, tmp_path: Path) -> None:
    """And the execution fails with the first error."""
    run = simulation.call(d.saga, str(tmp_path))
    assert (run.state, run.error.message if run.error else "") == ("failed", "no money")
    assert journal(tmp_path) == ["hotel", "flight", "seat", "undo flight", "undo hotel"]


def test_a_step_is_retried_by_itself(simulation: Simulation, tmp_path: Path) -> None:
    """Its backoff takes no time."""
    assert simulation.call(d.retries_a_step, str(tmp_path / "tries")).result() == ["done", "never", 1]


def test_an_event_ends_the_wait_that_it_fits(simulation: Simulation) -> None:
    """Others do not."""
    run = simulation.call(d.approval, "d1")
    simulation.send_event("doc.approved", {"doc": "d2", "by": {"role": "lead"}})
    assert (run.state, run.waits) == ("waiting", ["doc.approved"])
    simulation.send_event("doc.approved", {"doc": "d1", "by": {"role": "lead"}})
    assert run.result() == {"doc": "d1", "by": {"role": "lead"}}


def test_a_wait_times_out_when_the_test_lets_time_pass(simulation: Simulation) -> None:
    """Not before."""
    run = simulation.call(d.approval, "d1")
    simulation.advance("9s")
    assert run.state == "waiting"
    simulation.advance("1s")
    assert run.result() is None


def test_messages_are_received_in_order(simulation: Simulation) -> None:
    """And progress is kept."""
    run = simulation.call(d.listens)
    run.send(1, "orders")
    run.send(2, "orders")
    simulation.advance("1s")
    assert run.result() == [1, 2, None]
    assert run.progress == (1, 3, "listening")


def test_progress_passed_on_a_replay_is_not_stored_again(simulation: Simulation) -> None:
    """It was told when the code came there first."""
    run = simulation.call(d.reports)
    simulation.advance("1m")
    assert run.result() == 3
    assert [fact.done for fact in run.facts if isinstance(fact, Progressed)] == [0, 1, 2]


@pytest.mark.parametrize("says", ["yes", "no"])
def test_a_token_ends_its_wait(simulation: Simulation, tmp_path: Path, says: str) -> None:
    """By its address, once."""
    run = simulation.call(d.asks_somebody, str(tmp_path / "url"))
    url = (tmp_path / "url").read_text()
    if says == "yes":
        simulation.complete(url, 7)
    else:
        simulation.reject(url, "too dear")
    assert run.result() == ("yes: 7" if says == "yes" else "no: too dear")


def test_a_paused_execution_goes_on_when_it_is_mended(simulation: Simulation, tmp_path: Path) -> None:
    """With the steps that it had."""
    run = simulation.call(d.pauses, str(tmp_path / "fixed"))
    assert run.state == "waiting"
    (tmp_path / "fixed").touch()
    assert run.resume().result() == "mended"
    assert run.kinds.count("step_completed") == 1


def test_a_lost_attempt_runs_its_unstored_step_again(simulation: Simulation, tmp_path: Path) -> None:
    """The step ran and its result was lost: at least once is not once."""
    run = simulation.lose("hotel", after=True).call(d.saga, str(tmp_path))
    assert run.kinds.count("attempt_lost") == 1
    assert journal(tmp_path)[:2] == ["hotel", "hotel"]


def test_a_step_fails_as_often_as_the_test_says(simulation: Simulation, tmp_path: Path) -> None:
    """`fail step x twice`."""
    simulation.fail("flaky", times=2, error=ValueError("made up"))
    run = simulation.call(d.retries_a_step, str(tmp_path / "tries"))
    failures: list[Any] = [
        fact for fact in run.facts if getattr(fact, "step", "") == "flaky" and hasattr(fact, "error")
    ]
    assert [fact.error.message for fact in failures][:2] == ["made up", "made up"]


def test_a_restart_from_a_step_runs_only_what_comes_after_it(simulation: Simulation, tmp_path: Path) -> None:
    """What was finished before is taken over; a step that was undone is done again."""
    run = simulation.call(d.pauses, str(tmp_path / "fixed"))
    (tmp_path / "fixed").touch()
    assert run.resume().rerun("before").result() == "mended"
    again = run.rerun()
    assert (again.steps, again.result()) == ({"before": 1}, "mended")


def test_a_failed_execution_has_no_result(simulation: Simulation, tmp_path: Path) -> None:
    """Asking for it raises what a caller would get."""
    with pytest.raises(ExecutionFailed, match="no money"):
        simulation.call(d.saga, str(tmp_path)).result()


def test_a_cancelled_execution_undoes_what_it_did(simulation: Simulation, tmp_path: Path) -> None:
    """Also while it waits for a token, and no code of it runs."""
    run = simulation.call(d.asks_somebody, str(tmp_path / "url"))
    assert run.cancel().state == "cancelled"


async def test_a_simulation_runs_inside_an_async_test(simulation: Simulation) -> None:
    """On an event loop of its own."""
    assert simulation.call(d.everything).result()["total"] == 3
