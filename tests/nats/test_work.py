"""Taking runnable activations: each to one runner, again when it was not settled, never one of another function."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from eventually import eventually
from penstock.domain.execution.facts import Enqueued, Unknown
from penstock.domain.system import LimitChanged
from penstock.jetstream import intake
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.server import EmbeddedServer
from penstock.jetstream.work import JetStreamWork
from penstock.ports import Append, Item
from penstock.service.gate import changed_limit
from penstock.wire.codec import decode_fact
from penstock.wire.names import Names
from sample_facts import FUNCTION, due, entry, new_id, now, started


@pytest.fixture
async def work(connection: Connection, environment: Names) -> AsyncIterator[JetStreamWork]:
    work = JetStreamWork(connection, environment, FUNCTION)
    yield work
    await work.stop()


async def take(work: JetStreamWork, limit: int = 100) -> list[Item]:
    return await asyncio.wait_for(work.take(limit), 10)


async def pending(connection: Connection, names: Names) -> tuple[int, int]:
    """(not delivered, not acknowledged) of the function."""
    info = await connection.js.consumer_info(names.executions, names.runner_consumer(FUNCTION))
    return info.num_pending or 0, info.num_ack_pending or 0


async def test_a_new_execution_is_work_with_all_that_its_runner_needs(work: JetStreamWork, log: JetStreamLog) -> None:
    """The fact itself travels, so that fresh work needs no read."""
    one = new_id()
    sequence = await log.append(entry(one))
    [item] = await take(work)
    assert (item.execution_id, item.function, item.sequence, item.deliveries) == (one, FUNCTION, sequence, 1)
    fact = decode_fact(item.data)
    assert isinstance(fact, Enqueued)
    assert not isinstance(fact, Unknown)
    assert fact.trace_id == one


async def test_facts_that_do_not_make_runnable_are_no_work(work: JetStreamWork, log: JetStreamLog) -> None:
    """A delayed execution becomes work with `due`, not before."""
    one = new_id()
    delayed = Enqueued(n=1, at=now(), function=FUNCTION, trace_id=one, run_at=now() + 10**9)
    last = await log.append(entry(one, delayed))
    last = await log.append(entry(one, due(2), expected=last))
    await log.append(entry(one, started(3), expected=last))
    [item] = await take(work)
    assert item.sequence == last


async def test_work_of_another_function_is_not_taken(work: JetStreamWork, log: JetStreamLog) -> None:
    """A flood of one never delays another."""
    for _ in range(3):
        other = new_id()
        fact = Enqueued(n=1, at=now(), function="other", trace_id=other)
        await log.append(Append(execution_id=other, function="other", facts=[fact], expected=0))
    one = new_id()
    await log.append(entry(one))
    assert [item.execution_id for item in await take(work)] == [one]


async def test_an_acknowledged_item_does_not_come_again(
    work: JetStreamWork, log: JetStreamLog, connection: Connection, environment: Names
) -> None:
    """It is settled for all runners."""
    await log.append(entry(new_id()))
    [item] = await take(work)
    assert await pending(connection, environment) == (0, 1)
    await item.ack()
    assert await eventually(lambda: _is_settled(connection, environment))


async def test_an_item_given_back_comes_again(work: JetStreamWork, log: JetStreamLog) -> None:
    """And says that it does."""
    one = new_id()
    await log.append(entry(one))
    [item] = await take(work)
    await item.give_back()
    [again] = await take(work)
    assert (again.execution_id, again.deliveries) == (one, 2)


async def test_an_item_given_back_with_a_delay_comes_after_it(work: JetStreamWork, log: JetStreamLog) -> None:
    """While its owner may still be alive there is no hurry."""
    await log.append(entry(new_id()))
    [item] = await take(work)
    before = now()
    await item.give_back(0.4)
    [again] = await take(work)
    assert again.deliveries == 2
    assert now() - before >= 400_000


async def test_an_item_that_nobody_settles_comes_again_elsewhere(
    nats_server: EmbeddedServer,
    connection: Connection,
    environment: Names,
    log: JetStreamLog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A runner that dies holds nothing for ever; one that prolongs keeps its item."""
    monkeypatch.setattr(intake, "ACK_WAIT_SECONDS", 0.5)
    dead, alive = Connection("dead"), JetStreamWork(connection, environment, FUNCTION)
    await dead.open(nats_server.url)
    lost, kept = new_id(), new_id()
    await log.append(entry(lost))
    await log.append(entry(kept))
    holders = await take(JetStreamWork(dead, environment, FUNCTION))
    [prolonged] = [item for item in holders if item.execution_id == kept]

    async def prolong() -> None:
        while True:
            await prolonged.in_progress()
            await asyncio.sleep(0.1)

    prolonging = asyncio.create_task(prolong())
    again = await take(alive)
    assert [item.execution_id for item in again] == [lost]
    prolonging.cancel()
    await alive.stop()
    await dead.close()


async def test_runners_share_the_work(
    nats_server: EmbeddedServer, connection: Connection, environment: Names, log: JetStreamLog
) -> None:
    """Each item to one of them."""
    other = Connection("other")
    await other.open(nats_server.url)
    copies = [JetStreamWork(each, environment, FUNCTION) for each in (connection, other)]
    seen: list[str] = []

    async def run(copy: JetStreamWork) -> None:
        while items := await copy.take(10):
            for item in items:
                seen.append(item.execution_id)
                await item.ack()

    running = [asyncio.create_task(run(copy)) for copy in copies]
    ids = [new_id() for _ in range(300)]
    await log.append_many([entry(one) for one in ids])
    await eventually(lambda: len(seen) >= len(ids))
    assert sorted(seen) == sorted(ids)
    for copy in copies:
        await copy.stop()
    await asyncio.gather(*running)
    await other.close()


async def test_no_more_items_are_out_than_the_concurrency_allows(
    nats_server: EmbeddedServer, connection: Connection, environment: Names, log: JetStreamLog
) -> None:
    """Over all runners; settling one lets the next come."""
    other = Connection("other")
    await other.open(nats_server.url)
    here, there = (JetStreamWork(each, environment, FUNCTION, max_ack_pending=2) for each in (connection, other))
    await log.append_many([entry(new_id()) for _ in range(5)])
    held = await take(here, 2)
    while len(held) < 2:
        held += await take(here, 1)
    waiting = asyncio.create_task(there.take(10))
    await asyncio.wait({waiting}, timeout=0.3)
    assert not waiting.done()
    await held[0].ack()
    [third] = await asyncio.wait_for(waiting, 10)
    assert third.execution_id not in {item.execution_id for item in held}
    await here.stop()
    await there.stop()
    await other.close()


async def test_a_changed_concurrency_takes_effect(
    connection: Connection, environment: Names, log: JetStreamLog
) -> None:
    """The function was declared anew with another limit."""
    await log.append_many([entry(new_id()) for _ in range(5)])
    narrow = JetStreamWork(connection, environment, FUNCTION, max_ack_pending=1)
    assert len(await take(narrow, 1)) == 1
    wide = JetStreamWork(connection, environment, FUNCTION, max_ack_pending=4)
    more: list[Item] = []
    while len(more) < 3:
        more += await take(wide)
    assert await pending(connection, environment) == (1, 4)
    await narrow.stop()
    await wide.stop()


async def test_a_limit_set_at_run_time_outlives_the_start_of_another_runner(
    connection: Connection, environment: Names, log: JetStreamLog
) -> None:
    """It is never lifted to what was declared, not even until the scheduler looks."""
    await log.append_many([entry(new_id()) for _ in range(5)])
    fact = LimitChanged(at=now(), target=f"function:{FUNCTION}", limit=2, author="t")
    await log.append_system("limit_changed", f"function.{FUNCTION}", fact)
    for _ in range(2):
        work = JetStreamWork(connection, environment, FUNCTION, 4, lambda: changed_limit(log, FUNCTION))
        for item in await take(work):
            await item.ack()
        info = await connection.js.consumer_info(environment.executions, environment.runner_consumer(FUNCTION))
        assert info.config.max_ack_pending == 2
        await work.stop()


async def test_stopping_hands_back_what_was_not_taken(
    connection: Connection, environment: Names, log: JetStreamLog
) -> None:
    """Another runner gets it at once, not after the time-out."""
    await log.append_many([entry(new_id()) for _ in range(50)])
    leaving = JetStreamWork(connection, environment, FUNCTION)
    taken = await leaving.take(10)
    assert len(taken) <= 10
    await leaving.stop()
    assert await leaving.take(10) == []
    staying = JetStreamWork(connection, environment, FUNCTION)
    seen: set[str] = {item.execution_id for item in taken}
    while len(seen) < 50:
        seen |= {item.execution_id for item in await take(staying)}
    await staying.stop()


async def test_a_consumer_that_was_deleted_is_made_anew(
    work: JetStreamWork, connection: Connection, environment: Names, log: JetStreamLog
) -> None:
    """Its work is delivered again; the fold of each item tells what is finished."""
    first, second = new_id(), new_id()
    await log.append(entry(first))
    [item] = await take(work)
    await item.ack()
    taking = asyncio.create_task(work.take(10))
    await eventually(lambda: _is_settled(connection, environment))
    await connection.js.delete_consumer(environment.executions, environment.runner_consumer(FUNCTION))
    await log.append(entry(second))
    found = {each.execution_id for each in await asyncio.wait_for(taking, 10)}
    while second not in found:
        found |= {each.execution_id for each in await take(work)}
    assert found <= {first, second}


async def _is_settled(connection: Connection, names: Names) -> bool:
    return await pending(connection, names) == (0, 0)


async def test_a_consumer_made_anew_starts_after_what_is_settled(
    connection: Connection, environment: Names, work: JetStreamWork, log: JetStreamLog
) -> None:
    """Its progress is noted now and then; a lost consumer does not read a long finished history again."""
    settled, open_ = new_id(), new_id()
    await log.append(entry(settled))
    [item] = await take(work)
    await item.ack()

    async def is_settled() -> bool:
        info = await connection.js.consumer_info(environment.executions, environment.runner_consumer(FUNCTION))
        return info.ack_floor.stream_seq == item.sequence

    await eventually(is_settled)
    await work.mark()
    await log.append(entry(open_))
    await work.stop()
    await connection.js.delete_consumer(environment.executions, environment.runner_consumer(FUNCTION))
    anew = JetStreamWork(connection, environment, FUNCTION)
    assert [each.execution_id for each in await take(anew)] == [open_]
    await anew.stop()
    # Where it began is no obstacle to another limit.
    wider = JetStreamWork(connection, environment, FUNCTION, max_ack_pending=4)
    await log.append(entry(new_id()))
    assert len(await take(wider)) == 1
    await wider.stop()
