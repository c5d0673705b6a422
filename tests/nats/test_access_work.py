"""Each service can do all of its own work with the rights of its own user."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from guarded_server import guarded_server, logged_in
from penstock.domain.execution.facts import Cancelled
from penstock.domain.function.options import FunctionSpec
from penstock.domain.notify.notice import Notice
from penstock.domain.system import EventFannedOut, NotificationReplayed, NotificationSent
from penstock.jetstream.access import OPERATOR, SERVICES
from penstock.jetstream.connect import Connection
from penstock.jetstream.consumers import FunctionConsumers
from penstock.jetstream.ends import EndFacts
from penstock.jetstream.follow import follow
from penstock.jetstream.leader import Leadership
from penstock.jetstream.leases import LeaseTable
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.notices import Bookmark, NoticeLog
from penstock.jetstream.objects import Payloads
from penstock.jetstream.positions import Positions
from penstock.jetstream.provision import drift
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.reader import DirectReader
from penstock.jetstream.registry import FunctionRegistry
from penstock.jetstream.server import EmbeddedServer
from penstock.jetstream.stored_events import StoredEvents
from penstock.jetstream.timers import JetStreamTimers, WakeUps
from penstock.jetstream.work import JetStreamWork
from penstock.ports import Append
from penstock.wire.names import VIEW_READER, Names
from sample_facts import FUNCTION, entry, new_id, now

NAMES = Names("shop")
"""Not the default environment, so that no name is right by accident."""

Work = Callable[[Connection], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server with all users and a provisioned environment."""
    with guarded_server(tmp_path_factory.mktemp("guarded"), NAMES) as server:
        yield server


async def append_and_follow(connection: Connection) -> None:
    log = JetStreamLog(connection, NAMES)
    one = new_id()
    sequence = await log.append(entry(one))
    assert len(await log.find(one)) == 1
    async for batch in log.follow(sequence - 1):
        assert batch
        break
    await log.append_many([entry(new_id()) for _ in range(40)])


async def publish_event(connection: Connection) -> None:
    sequence = await Publisher(connection).publish(NAMES.event_subject("signup"), b"{}")
    assert await DirectReader(connection).at(NAMES.events, sequence)


async def record_fan_out(connection: Connection) -> None:
    fact = EventFannedOut(at=now(), sequence=1, event_id="e", name="signup")
    await JetStreamLog(connection, NAMES).append_system("event_fanned_out", new_id(), fact, expected=0)


async def set_timers(connection: Connection) -> None:
    timers = JetStreamTimers(connection, NAMES)
    one = new_id()
    await timers.set(one, "w", now() + 10**9)
    await timers.clear(one, "w")


async def take_wake_ups(connection: Connection) -> None:
    timers, wake_ups = JetStreamTimers(connection, NAMES), WakeUps(connection, NAMES)
    await timers.set(new_id(), "w", now())
    for wake_up in await asyncio.wait_for(wake_ups.take(10), 10):
        await wake_up.ack()
    assert isinstance(await timers.all_pending(), frozenset)
    await timers.purge_fired()
    await wake_ups.stop()


async def hold_leases(connection: Connection) -> None:
    leases = LeaseTable(connection, NAMES)
    await leases.renew("me")
    assert await leases.is_alive("me")
    await leases.release("me")


async def store_payloads(connection: Connection) -> None:
    payloads = Payloads(connection, NAMES)
    for value in (b"x" * 300_000, b"y"):
        await payloads.put("result", value)
        assert await payloads.get("result") == value


async def read_payloads(connection: Connection) -> None:
    assert await DirectReader(connection).last(NAMES.payloads_stream, NAMES.payload_meta_subject("none")) is None


async def declare_functions(connection: Connection) -> None:
    registry = FunctionRegistry(connection, NAMES, JetStreamLog(connection, NAMES))
    await registry.declare(FunctionSpec(name=FUNCTION), "r1")
    await registry.declare(FunctionSpec(name=FUNCTION, version=new_id()), "r1")


async def know_functions(connection: Connection) -> None:
    registry = FunctionRegistry(connection, NAMES, JetStreamLog(connection, NAMES))
    await registry.open()
    assert await registry.wait_for("nobody", 0.1) is None
    await registry.close()


async def take_work(connection: Connection) -> None:
    await JetStreamLog(connection, NAMES).append(entry(new_id()))
    work = JetStreamWork(connection, NAMES, FUNCTION)
    for item in await asyncio.wait_for(work.take(100), 10):
        await item.in_progress()
        await item.ack()
    await work.stop()


async def write_lines(connection: Connection) -> None:
    await Publisher(connection).publish(NAMES.log_subject(new_id(), 1), b'{"lines":[]}')


async def hear_hints(connection: Connection) -> None:
    await connection.nc.subscribe(NAMES.hint_subject("r1"))


async def send_hints(connection: Connection) -> None:
    await connection.nc.publish(NAMES.hint_subject("r1"), b"{}")


async def notify(connection: Connection) -> None:
    await Publisher(connection).publish(NAMES.notification_subject("failed", FUNCTION), b"{}")


async def deliver_notices(connection: Connection) -> None:
    notices = NoticeLog(JetStreamLog(connection, NAMES))
    notice = Notice(id=new_id(), rule="r", about="failed", at=now(), text="It failed.")
    assert await notices.due("ops", notice, now())
    delivery = await notices.read("ops", notice.id)
    assert delivery is not None
    await notices.tell(delivery, NotificationSent(at=now()))
    await notices.disable("ops", "HTTP 410", now())
    bookmark = Bookmark(notices.log, "notify")
    await bookmark.load()
    await bookmark.store(b"{}")
    leadership = Leadership(connection, NAMES, "notify", new_id())
    assert await leadership.hold()
    await leadership.give_up()


async def replay_notices(connection: Connection) -> None:
    notices = NoticeLog(JetStreamLog(connection, NAMES))
    notice = Notice(id=new_id(), rule="r", about="failed", at=now(), text="It failed.")
    await notices.due("ops", notice, now())
    (delivery,) = await notices.find(notice.id)
    await notices.tell(delivery, NotificationReplayed(at=now(), author="ada"))
    await notices.enable("ops", "ada", now())


async def tell_position(connection: Connection) -> None:
    await Positions(connection, NAMES).store(VIEW_READER, 1)


async def follow_streams(connection: Connection) -> None:
    for stream in (NAMES.executions, NAMES.events, NAMES.logs, NAMES.notifications):
        following = follow(connection, stream, 0)
        step = asyncio.ensure_future(anext(following))
        await asyncio.wait({step}, timeout=0.2)
        step.cancel()


async def hold_events_against_waits(connection: Connection) -> None:
    events = StoredEvents(connection, NAMES)
    await events.last()
    assert (await events.read("never", 0)) == ([], True)
    following = events.follow(["a", "b"], 0)
    step = asyncio.ensure_future(anext(following))
    await asyncio.wait({step}, timeout=0.2)
    step.cancel()
    await Positions(connection, NAMES).store_pair("r", 1, 2)
    assert await Positions(connection, NAMES).load_pair("r") == (1, 2)


async def take_ends(connection: Connection) -> None:
    log, one, ends = JetStreamLog(connection, NAMES), new_id(), EndFacts(connection, NAMES, NAMES.ends_consumer)
    sequence = await log.append(entry(one))
    cancelled = Cancelled(n=2, at=now())
    await log.append(Append(execution_id=one, function=FUNCTION, facts=[cancelled], expected=sequence))
    for end in await asyncio.wait_for(ends.take(10), 10):
        await end.ack()
    await ends.mark()
    await ends.stop()


async def examine(connection: Connection) -> None:
    assert await drift(connection, NAMES) == []


async def look_at_queues(connection: Connection) -> None:
    """The consumers of all functions at once, for metrics."""
    assert await FunctionConsumers(connection, NAMES).states(["nobody"]) == {}


DUTIES: dict[str, list[Work]] = {
    "ingest": [
        append_and_follow,
        publish_event,
        record_fan_out,
        set_timers,
        store_payloads,
        know_functions,
        send_hints,
        replay_notices,
    ],
    "scheduler": [
        append_and_follow,
        set_timers,
        take_wake_ups,
        hold_leases,
        know_functions,
        send_hints,
        hold_events_against_waits,
        take_ends,
        store_payloads,
    ],
    "runner": [
        append_and_follow,
        declare_functions,
        know_functions,
        take_work,
        set_timers,
        hold_leases,
        store_payloads,
        write_lines,
        hear_hints,
        send_hints,
    ],
    "notifier": [notify, deliver_notices, know_functions, read_payloads],
    "query": [follow_streams, look_at_queues, tell_position, know_functions, read_payloads],
    "operator": [examine, follow_streams],
}


@pytest.mark.parametrize(
    ("user", "duty"),
    [(user, duty) for user, duties in DUTIES.items() for duty in duties],
    ids=lambda each: getattr(each, "__name__", each),
)
async def test_a_service_can_do_its_work(guarded: EmbeddedServer, user: str, duty: Work) -> None:
    """Without one refusal by the server."""
    async with logged_in(guarded, user) as connection:
        await asyncio.wait_for(duty(connection), 20)
        for _ in range(2):  # nats-py may send the PING of a flush before what waits
            await connection.nc.flush()
        assert connection.problem is None


def test_every_service_has_duties_here() -> None:
    """A new service comes with what it must be able to do."""
    assert set(DUTIES) == {*SERVICES, OPERATOR}
