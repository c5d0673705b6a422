"""Who may write the facts of schedules, with the users of the embedded server."""

from collections.abc import Iterator

import pytest

from guarded_server import guarded_server
from penstock.domain.schedule import facts as f
from penstock.domain.schedule.start import tick_enqueued
from penstock.jetstream.access import passwords, permissions
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.schedules import NewExecution, ScheduleLog
from penstock.jetstream.server import EmbeddedServer
from penstock.ports import Conflict
from penstock.wire.names import Names
from sample_facts import new_id, now
from schedules import spec

NAMES = Names()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server with all users and a provisioned environment."""
    with guarded_server(tmp_path_factory.mktemp("guarded"), NAMES) as server:
        yield server


async def opened(server: EmbeddedServer, user: str) -> Connection:
    connection = Connection(user)
    await connection.open(server.url, user=user, password=passwords(server.data_dir)[user])
    return connection


@pytest.mark.parametrize("user", ["ingest", "scheduler"])
async def test_a_schedule_is_made_and_a_tick_stored_with_its_execution(guarded: EmbeddedServer, user: str) -> None:
    """By the doors and by schedulers; a stale one is refused as a whole."""
    connection = await opened(guarded, user)
    schedules, key = ScheduleLog(JetStreamLog(connection, NAMES)), f"s.{user}"
    state = await schedules.change(key, None, f.SchedulePut(at=now(), key=key, spec=spec()))
    first, second = new_id(), new_id()
    tick = f.Ticked(at=now(), key=key, entries=[], cursor=state.cursor)
    made = [NewExecution(each, tick_enqueued(key, each, now(), spec(), now())) for each in (first, second)]
    sequence, _ = await schedules.append(key, tick, state.sequence, made[:1])
    assert await schedules.exists(first, "report")
    read = await schedules.read(key)
    assert read is not None
    assert read.sequence == sequence
    for expected, again in ((state.sequence, made[1:]), (sequence, made)):
        # A stale schedule, and an execution that was made already.
        with pytest.raises(Conflict):
            await schedules.append(key, tick, expected, again)
    assert not await schedules.exists(second, "report")
    assert connection.problem is None
    await connection.close()


async def test_a_runner_tells_what_its_app_declares_and_no_more(guarded: EmbeddedServer) -> None:
    """The schedules themselves are not its to write."""
    connection = await opened(guarded, "runner")
    schedules = ScheduleLog(JetStreamLog(connection, NAMES))
    for _ in range(2):
        await schedules.declare(f.SchedulesDeclared(at=now(), app="shop", schedules={"report": spec()}))
    sequence, declared = await schedules.declared("shop")
    assert declared is not None
    assert list(declared.schedules) == ["report"]
    assert sequence
    publish = permissions(NAMES)["runner"]["publish"]
    assert not any(subject.startswith(f"{NAMES.root}.c.schedule.") for subject in publish)
    await connection.close()
