"""The client from a program of its own: over real HTTP, through ingest, runner, scheduler and query."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock import Client, ExecutionFailed, PenstockError
from penstock.jetstream.server import EmbeddedServer
from penstock.service.process import running, until_ready
from penstock.service.settings import Settings
from penstock.wire.names import Names

SAMPLE = Path(__file__).parents[1] / "services" / "runner"


@pytest.fixture
async def client(
    nats_server: EmbeddedServer, environment: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Client]:
    """A client of all services, in an environment of its own."""
    monkeypatch.setenv("PYTHONPATH", str(SAMPLE))
    settings = Settings(
        env=environment.environment, nats_url=nats_server.url, http_port=0, data_dir=str(tmp_path),
        api_key="key-of-the-test-0123456789", app="sample_app:app", sync_processes=1, grace=0.5,
    )  # fmt: skip
    async with running(settings, ["ingest", "scheduler", "query", "runner"]) as runtime:
        await until_ready(runtime)
        async with Client(f"http://127.0.0.1:{runtime.http_port}", "key-of-the-test-0123456789") as client:
            yield client


async def test_a_function_is_called_by_name_and_its_result_read(client: Client) -> None:
    """By position and by name, with options."""
    execution = await client.enqueue("add", 1, b=2)
    assert await execution.result(timeout="20s") == 3
    assert await execution.state() == "succeeded"
    again = await client.function("add").options(idempotency_key="k").enqueue(1, 2)
    assert (await client.function("add").options(idempotency_key="k").enqueue(1, 2)).id == again.id


async def test_an_execution_that_fails_says_why(client: Client) -> None:
    """Code, type and message of the function's own exception."""
    execution = await client.enqueue("terminal")
    with pytest.raises(ExecutionFailed) as caught:
        await execution.result(timeout="20s")
    assert (caught.value.code, caught.value.type, caught.value.message) == ("user_error", "Terminal", "no use")


async def test_waiting_ends_in_time(client: Client, tmp_path: Path) -> None:
    """And the execution goes on until it is cancelled."""
    execution = await client.enqueue("gate", str(tmp_path / "never"))
    with pytest.raises(TimeoutError):
        await execution.result(timeout="300ms")
    await execution.cancel()
    with pytest.raises(ExecutionFailed) as caught:
        await execution.result(timeout="20s")
    assert caught.value.code == "cancelled"


async def test_a_delayed_execution_is_moved_and_run_again(client: Client) -> None:
    """Reschedule to now, then rerun."""
    execution = await client.function("add").options(delay="1h").enqueue(1, 2)
    assert await execution.state() == "scheduled"
    await execution.reschedule()
    assert await execution.result(timeout="20s") == 3
    assert await (await execution.rerun()).result(timeout="20s") == 3


async def test_an_event_starts_what_subscribes_to_it(client: Client) -> None:
    """It answers with the event's id."""
    assert await client.event("user.signup", {"name": "Ada"})


async def test_a_refusal_is_an_error_with_its_code(client: Client) -> None:
    """An unknown function, wrong arguments, a wrong key."""
    for name, args, code in (("nothing", (), "unknown_function"), ("add", ("x", 1), "invalid_arguments")):
        with pytest.raises(PenstockError) as caught:
            await client.enqueue(name, *args)
        assert caught.value.code == code
    with pytest.raises(PenstockError) as caught:
        await Client(client.url, "wrong").enqueue("add", 1, 2)
    assert (caught.value.code, caught.value.status) == ("unauthorized", 401)


async def test_nobody_at_the_address_is_said_so() -> None:
    """Instead of a traceback of some HTTP library."""
    with pytest.raises(PenstockError, match="PENSTOCK_URL"):
        await asyncio.wait_for(Client("http://127.0.0.1:9", "key").enqueue("add"), 10)
