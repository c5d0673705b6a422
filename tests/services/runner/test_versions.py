"""Which version goes on with an execution that another one began."""

from typing import Any

import pytest

from eventually import eventually
from penstock.domain.execution.commands import Resume
from penstock.domain.execution.facts import Started
from penstock.handle import handle
from penstock.jetstream.leases import LeaseTable
from penstock.service.lifecycle import system_clock
from runner_bench import Bench, StartRunner

APP = "versioned_app:app"


@pytest.fixture
async def start_version(start_runner: StartRunner, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Start a runner with the app in this version."""

    async def start(version: str) -> Any:
        monkeypatch.setenv("APP_VERSION", version)
        return await start_runner(APP, worker_env="APP_VERSION")

    return start


async def begun_by(bench: Bench, start_version: Any, version: str, function: str) -> tuple[str, Any]:
    """An execution that waits for its second attempt, and the runner of its first."""
    runtime = await start_version(version)
    execution = await bench.enqueue(function)
    await bench.until(execution, lambda state: state.state == "retrying")
    return execution, runtime


@pytest.mark.parametrize("before", ["1", ""])
async def test_another_version_goes_on_when_the_first_is_gone(bench: Bench, start_version: Any, before: str) -> None:
    """That is the default; an execution without a version belongs to nobody."""
    execution, runtime = await begun_by(bench, start_version, before, "goes_on")
    await runtime.close()
    await start_version("2")
    await bench.due(execution)
    assert await bench.result(execution) == "2"


async def test_the_version_that_began_goes_on_while_it_lives(bench: Bench, start_version: Any) -> None:
    """Also when a runner with another takes the item first: it gives it back."""
    execution, old = await begun_by(bench, start_version, "1", "fails")
    new = await start_version("2")
    for _ in range(5):
        other = await bench.enqueue("fails")
        await bench.due(other)
        answer = await bench.result(other)
        assert [fact.version for fact in await bench.facts(other) if isinstance(fact, Started)] == [answer, answer]
    await bench.due(execution)
    assert await bench.result(execution) == "1"
    await new.close()
    await old.close()


async def test_an_execution_fails_without_its_version_if_its_function_says_so(bench: Bench, start_version: Any) -> None:
    """The error names both versions."""
    execution, runtime = await begun_by(bench, start_version, "1", "fails")
    await runtime.close()
    await start_version("2")
    await bench.due(execution)
    state = await bench.final(execution)
    assert state.error is not None
    assert (state.state, state.error.code) == ("failed", "version_changed")
    assert "version '1'" in state.error.message
    assert "'2'" in state.error.message


async def test_an_execution_pauses_without_its_version_if_its_function_says_so(
    bench: Bench, start_version: Any
) -> None:
    """Resumed, it goes on with what is there."""
    execution, runtime = await begun_by(bench, start_version, "1", "pauses")
    await runtime.close()
    await start_version("2")
    await bench.due(execution)
    await bench.until(execution, lambda state: state.paused)
    await handle(bench.log, execution, Resume(), system_clock, lambda: 0.5)
    assert await bench.result(execution) == "2"


async def test_living_runners_say_which_versions_they_have(bench: Bench, start_version: Any) -> None:
    """Those that are stopping do not."""
    leases = LeaseTable(bench.connection, bench.names)
    first = await start_version("1")
    await start_version("2")
    assert sorted(has["fails"] for has in (await leases.versions()).values()) == ["1", "2"]
    await first.close()

    async def is_gone() -> bool:
        return [has["fails"] for has in (await leases.versions()).values()] == ["2"]

    await eventually(is_gone)
