"""The log on JetStream: one writer at a time per execution, true verdicts, and nothing skipped when followed."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cut_line import CutLine
from eventually import eventually
from penstock.domain.execution.facts import Unknown, kind_of
from penstock.domain.system import EventFannedOut
from penstock.jetstream.commit import BATCH_MIN
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.provision import provision
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.reader import DirectReader, StoredMessage
from penstock.jetstream.server import EmbeddedServer
from penstock.ports import Conflict, LogEntry, Unavailable
from penstock.wire.names import Names
from sample_facts import FUNCTION, due, enqueued, entry, new_id, now, started, succeeded


async def kinds(log: JetStreamLog, execution_id: str) -> list[str]:
    return [kind_of(each.fact) for each in await log.read(execution_id, FUNCTION)]  # type: ignore[arg-type]


async def test_appended_facts_are_read_back_in_order(log: JetStreamLog) -> None:
    """Though they stand on several subjects."""
    one = new_id()
    first = await log.append(entry(one))
    second = await log.append(entry(one, started(2), expected=first))
    third = await log.append(entry(one, succeeded(3), expected=second))
    recorded = await log.read(one, FUNCTION)
    assert [each.sequence for each in recorded] == [first, second, third]
    assert [each.fact.n for each in recorded] == [1, 2, 3]
    assert await kinds(log, one) == ["enqueued", "started", "succeeded"]


class _SlowReader(DirectReader):
    """Reads run facts first, and the others after something was stored meanwhile."""

    def __init__(self, connection: Connection, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(connection)
        self._meanwhile: Callable[[], Awaitable[object]] | None = meanwhile
        self._stored = asyncio.Event()

    async def subject(self, stream: str, subject: str, start: int = 1, limit: int | None = None) -> list[StoredMessage]:
        if ".run." not in subject:
            await self._stored.wait()
        found = await super().subject(stream, subject, start, limit)
        if ".run." in subject and self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            await meanwhile()
            self._stored.set()
        return found


@pytest.mark.parametrize("way", ["read", "load"])
async def test_facts_that_come_between_the_reads_of_two_subjects_leave_no_hole(log: JetStreamLog, way: str) -> None:
    """An execution would be continued from a state that it never had."""
    one = new_id()
    last = await log.append(entry(one))

    async def go_on() -> None:
        await log.append(entry(one, due(2), started(3), expected=last))

    log.reader = _SlowReader(log.connection, go_on)
    if way == "read":
        assert [each.fact.n for each in await log.read(one, FUNCTION)] == [1, 2, 3]
    else:
        loaded = await log.load(one, FUNCTION)
        assert loaded is not None
        assert loaded.state.n == 3


async def test_an_execution_without_facts_is_empty(log: JetStreamLog) -> None:
    """Neither an error nor a wait."""
    assert await log.read(new_id(), FUNCTION) == []
    assert await log.find(new_id()) == []


async def test_an_execution_is_found_without_its_function(log: JetStreamLog) -> None:
    """By its id alone."""
    one = new_id()
    await log.append(entry(one))
    assert [each.function for each in await log.find(one)] == [FUNCTION]


async def test_an_append_over_a_moved_history_is_a_conflict(log: JetStreamLog) -> None:
    """And leaves nothing behind."""
    one = new_id()
    first = await log.append(entry(one))
    await log.append(entry(one, started(2), expected=first))
    with pytest.raises(Conflict):
        await log.append(entry(one, succeeded(2), expected=first))
    assert await kinds(log, one) == ["enqueued", "started"]


async def test_of_many_creations_of_one_execution_one_wins(log: JetStreamLog) -> None:
    """Also when they travel together: a batch never carries two of one execution."""
    one = new_id()
    verdicts = await asyncio.gather(*(log.append(entry(one)) for _ in range(BATCH_MIN * 2)), return_exceptions=True)
    assert sum(isinstance(verdict, int) for verdict in verdicts) == 1
    assert sum(isinstance(verdict, Conflict) for verdict in verdicts) == len(verdicts) - 1
    assert len(await log.read(one, FUNCTION)) == 1


async def test_facts_of_one_append_are_stored_together(log: JetStreamLog) -> None:
    """With the sequence of the last as the answer."""
    one = new_id()
    last = await log.append(entry(one, enqueued(one), started(2), succeeded(3)))
    recorded = await log.read(one, FUNCTION)
    assert [each.sequence for each in recorded] == [last - 2, last - 1, last]


async def test_facts_of_one_append_are_refused_together(log: JetStreamLog) -> None:
    """A second fact never stands without the first."""
    one = new_id()
    await log.append(entry(one))
    with pytest.raises(Conflict):
        await log.append(entry(one, started(2), succeeded(3)))
    assert await kinds(log, one) == ["enqueued"]


async def test_many_appends_get_a_true_verdict_each(log: JetStreamLog) -> None:
    """The sequence in the verdict is where the last fact of that append really stands."""
    ids = [new_id() for _ in range(300)]
    entries = [entry(one, enqueued(one), started(2)) if number % 3 else entry(one) for number, one in enumerate(ids)]
    verdicts = await log.append_many(entries)
    for one, verdict in zip(ids, verdicts, strict=True):
        assert (await log.read(one, FUNCTION))[-1].sequence == verdict


@pytest.mark.parametrize("count", [3, BATCH_MIN + 8, 700])
async def test_one_conflict_does_not_spoil_the_others(log: JetStreamLog, count: int) -> None:
    """Below, at and beyond the size of a batch."""
    taken = new_id()
    await log.append(entry(taken))
    ids = [new_id() for _ in range(count)]
    ids[count // 2] = taken
    verdicts = await log.append_many([entry(one) for one in ids])
    assert isinstance(verdicts[count // 2], Conflict)
    assert sum(isinstance(verdict, int) for verdict in verdicts) == count - 1
    assert await log.last_sequence() == count


async def test_a_system_fact_can_expect_the_one_before(log: JetStreamLog) -> None:
    """Two processes cannot both write the next one."""
    fact = EventFannedOut(at=now(), sequence=1, event_id="e", name="signup")
    first = await log.append_system("lane", "all", fact, expected=0)
    with pytest.raises(Conflict):
        await log.append_system("lane", "all", fact, expected=0)
    await log.append_system("lane", "all", fact, expected=first)
    newest = await log.read_system("lane", "all")
    assert newest is not None
    assert newest.sequence == first + 1


async def test_a_fact_of_an_unknown_kind_is_kept(log: JetStreamLog, connection: Connection, environment: Names) -> None:
    """A newer version may have written it."""
    one = new_id()
    first = await log.append(entry(one))
    later = b'{"kind":"teleported","n":2,"at":5,"to":"mars"}'
    await Publisher(connection).publish(environment.fact_subject(one, FUNCTION, "fact"), later)
    unknown = (await log.read(one, FUNCTION))[-1].fact
    assert isinstance(unknown, Unknown)
    assert (unknown.name, bytes(unknown.raw)) == ("teleported", later)
    assert first == 1


async def test_an_append_whose_answer_was_lost_is_read_back(nats_server: EmbeddedServer, environment: Names) -> None:
    """It was stored once, so the caller is told where, and neither a conflict nor a failure."""
    async with CutLine(nats_server.port) as line:
        connection = Connection("test")
        await connection.open(f"nats://127.0.0.1:{line.port}")
        log = JetStreamLog(connection, environment)
        await log.append(entry(new_id()))
        one = new_id()
        line.hold_answers()
        before = line.sent
        appending = asyncio.create_task(log.append(entry(one)))
        direct = Connection("direct")
        await direct.open(nats_server.url)
        there = JetStreamLog(direct, environment)
        await eventually(lambda: there.read(one, FUNCTION))
        assert line.sent > before
        line.cut()
        sequence = await asyncio.wait_for(appending, 30)
        assert [each.sequence for each in await there.read(one, FUNCTION)] == [sequence]
        await direct.close()
        await connection.close()


async def test_a_batch_whose_answer_was_lost_is_read_back(nats_server: EmbeddedServer, environment: Names) -> None:
    """Each append of it gets its own true verdict, and no fact is stored twice."""
    async with CutLine(nats_server.port) as line:
        connection, direct = Connection("test"), Connection("direct")
        await connection.open(f"nats://127.0.0.1:{line.port}")
        await direct.open(nats_server.url)
        log, there = JetStreamLog(connection, environment), JetStreamLog(direct, environment)
        await log.append(entry(new_id()))
        ids = [new_id() for _ in range(BATCH_MIN * 2)]
        line.hold_answers()
        appending = asyncio.create_task(log.append_many([entry(one) for one in ids]))
        await eventually(lambda: there.read(ids[-1], FUNCTION))
        line.cut()
        verdicts = await asyncio.wait_for(appending, 30)
        assert sorted(verdict for verdict in verdicts if isinstance(verdict, int)) == list(range(2, len(ids) + 2))
        assert await there.last_sequence() == len(ids) + 1
        await direct.close()
        await connection.close()


async def test_a_rival_that_won_meanwhile_is_a_conflict_even_after_a_lost_answer(
    nats_server: EmbeddedServer, environment: Names
) -> None:
    """A stored fact of somebody else is not taken for our own."""
    async with CutLine(nats_server.port) as line:
        connection, direct = Connection("test"), Connection("direct")
        await connection.open(f"nats://127.0.0.1:{line.port}")
        await direct.open(nats_server.url)
        log, rival = JetStreamLog(connection, environment), JetStreamLog(direct, environment)
        one = new_id()
        first = await log.append(entry(one))
        await rival.append(entry(one, due(2), expected=first))
        line.hold_answers()
        before = line.sent
        appending = asyncio.create_task(log.append(entry(one, started(2), expected=first)))
        await eventually(lambda: line.sent > before)
        line.cut()
        with pytest.raises(Conflict):
            await asyncio.wait_for(appending, 30)
        assert await kinds(rival, one) == ["enqueued", "due"]
        await direct.close()
        await connection.close()


async def test_without_a_connection_an_append_fails_at_once(own_server: EmbeddedServer) -> None:
    """And is not stored when the connection comes back."""
    names = Names()
    connection = Connection("test")
    await connection.open(own_server.url)
    await provision(connection, names)
    log = JetStreamLog(connection, names)
    await log.append(entry(new_id()))
    await own_server.stop()
    await eventually(lambda: connection.problem is not None)
    verdicts = await asyncio.wait_for(log.append_many([entry(new_id()) for _ in range(BATCH_MIN + 1)]), 30)
    assert all(isinstance(verdict, Unavailable) for verdict in verdicts)
    await own_server.start()
    await eventually(lambda: connection.problem is None)
    assert await log.append(entry(new_id())) == 2
    await connection.close()


# Following.


async def followed(log: JetStreamLog, after: int, seen: list[LogEntry]) -> None:
    async for batch in log.follow(after):
        seen.extend(batch)


async def test_following_begins_after_the_given_sequence_and_goes_on_live(log: JetStreamLog) -> None:
    """What is there comes first, what is appended later comes as well."""
    for _ in range(5):
        await log.append(entry(new_id()))
    seen: list[LogEntry] = []
    following = asyncio.create_task(followed(log, 2, seen))
    await eventually(lambda: len(seen) == 3)
    await log.append(entry(new_id()))
    await eventually(lambda: len(seen) == 4)
    assert [each.sequence for each in seen] == [3, 4, 5, 6]
    following.cancel()


@pytest.mark.parametrize("how", ["terminate", "kill"])
async def test_following_survives_a_restart_of_the_server_without_gap_or_repeat(
    own_server: EmbeddedServer, how: str
) -> None:
    """Each entry once, in order."""
    names = Names()
    connection = Connection("test")
    await connection.open(own_server.url)
    await provision(connection, names)
    log = JetStreamLog(connection, names)
    seen: list[LogEntry] = []
    following = asyncio.create_task(followed(log, 0, seen))
    for _ in range(3):
        await log.append_many([entry(new_id()) for _ in range(500)])
        await eventually(lambda: seen)
        assert own_server.process is not None
        getattr(own_server.process, how)()
        await own_server.wait()
        await own_server.stop()
        await eventually(lambda: connection.problem is not None)
        await own_server.start()
        await eventually(lambda: connection.problem is None)
    await log.append_many([entry(new_id()) for _ in range(100)])
    await eventually(lambda: len(seen) >= 1600, within=20)
    assert [each.sequence for each in seen] == list(range(1, 1601))
    following.cancel()
    await connection.close()


async def test_following_goes_on_when_its_consumer_was_deleted(
    log: JetStreamLog, connection: Connection, environment: Names
) -> None:
    """An operator may remove what looks unused."""
    seen: list[LogEntry] = []
    following = asyncio.create_task(followed(log, 0, seen))
    await log.append(entry(new_id()))
    await eventually(lambda: seen)
    for each in await connection.js.consumers_info(environment.executions):
        await connection.js.delete_consumer(environment.executions, each.name)
    await log.append(entry(new_id()))
    await eventually(lambda: len(seen) == 2)
    assert [each.sequence for each in seen] == [1, 2]
    following.cancel()


async def test_what_is_no_fact_does_not_spoil_its_execution(log: JetStreamLog) -> None:
    """Bytes that somebody else wrote among the facts are read over, and counted for the next expectation."""
    one = new_id()
    await log.append(entry(one))
    stray = await log.publisher.publish(log.names.fact_subject(one, FUNCTION, "fact"), b'{"specversion": "1.0"}')
    recorded = await log.read(one, FUNCTION)
    assert recorded[-1].sequence == stray
    await log.append(entry(one, started(2), expected=stray))
    assert await kinds(log, one) == ["enqueued", "malformed", "started"]
