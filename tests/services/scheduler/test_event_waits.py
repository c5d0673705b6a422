"""Events against open waits on a real server: the first that fits ends the wait, whenever it came, and once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from eventually import eventually
from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.limits import payload_inline_bytes_max
from penstock.jetstream.api import request
from penstock.jetstream.connect import Connection
from penstock.jetstream.inbox import Hints
from penstock.jetstream.objects import Payloads
from penstock.jetstream.positions import Positions
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.stored_events import StoredEvent, StoredEvents
from penstock.wire import cloudevents as ce
from penstock.wire.names import Names
from penstock_scheduler import event_waits
from penstock_scheduler.agenda import Agenda
from penstock_scheduler.carrier import Carrier
from penstock_scheduler.event_ender import EventEnder
from penstock_scheduler.event_waits import EventMatching
from sample_facts import now
from scheduler_stage import Stage

NAME = "doc.approved"


class Copy:
    """The loops of one scheduler copy that hold events against waits."""

    def __init__(self, connection: Connection, names: Names, stage: Stage, source: Any = None) -> None:
        self.agenda = Agenda(names)
        source = source or StoredEvents(connection, names)
        self.payloads = Payloads(connection, names)
        ender = EventEnder(stage.log, self.payloads, Carrier(stage.log, Hints(connection, names), now, lambda: 0.0))
        self.matching = EventMatching(self.agenda, source, ender, Positions(connection, names), stage.log, names)
        self._log = stage.log
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Read the log, then begin."""
        target = await self._log.last_sequence()
        self._tasks.append(asyncio.create_task(self._follow()))
        await eventually(lambda: self.agenda.position >= target)
        self._tasks.append(asyncio.create_task(self.matching.run(asyncio.Event())))

    async def kill(self) -> None:
        """Stop wherever it is."""
        while left := [task for task in self._tasks if not task.done()]:
            # Python 3.11 loses a cancellation that comes together with an answer of the server.
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.1)

    async def _follow(self) -> None:
        async for batch in self._log.follow(self.agenda.position):
            self.agenda.take(batch)


class Door:
    """What the outside publishes."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._names = names
        self._publisher = Publisher(connection)

    async def publish(self, data: Any, name: str = NAME, **headers: str) -> int:
        body = data if isinstance(data, bytes) else msgspec.json.encode(data)
        return await self._publisher.publish(self._names.event_subject(name), body, headers)


@pytest.fixture
def door(connection: Connection, environment: Names) -> Door:
    return Door(connection, environment)


@pytest.fixture
async def make(connection: Connection, environment: Names, stage: Stage) -> AsyncIterator[Callable[..., Copy]]:
    """Makes copies of the scheduler; what is left of them is stopped."""
    made: list[Copy] = []

    def copy(source: Any = None) -> Copy:
        made.append(Copy(connection, environment, stage, source))
        return made[-1]

    yield copy
    for each in made:
        await each.kill()


@pytest.fixture
async def copies(make: Callable[..., Copy]) -> list[Copy]:
    """Two of them, running."""
    copies = [make(), make()]
    for copy in copies:
        await copy.begin()
    return copies


def event_wait(match: dict[str, Any] | None = None, after: int = 0, key: str = "ok", name: str = NAME) -> f.Wait:
    raw = {path: Raw(msgspec.json.encode(value)) for path, value in (match or {}).items()}
    return f.Wait(key=key, wait="event", name=name, match=raw, after=after)


@pytest.mark.usefixtures("copies")
async def test_an_event_ends_the_wait_that_it_fits(stage: Stage, door: Door) -> None:
    """Once, though two copies see it; the function gets the event, and others go on waiting."""
    execution_id = await stage.waiting(event_wait({"doc": "a"}))
    other = await stage.waiting(event_wait({"doc": "b"}))
    await door.publish({"doc": "c"})
    await door.publish({"doc": "a", "by": "me"})
    woken = await eventually(lambda: _woken(stage, execution_id))
    event = msgspec.json.decode(woken.result)
    assert (event["name"], event["data"], event["id"]) == (NAME, {"doc": "a", "by": "me"}, woken.source)
    assert (woken.outcome, woken.wakes) == ("event", True)
    await door.publish({"doc": "a"})
    await door.publish({"doc": "b"})
    await eventually(lambda: _woken(stage, other))
    assert (await stage.kinds(execution_id)).count("woken") == 1


@pytest.mark.usefixtures("copies")
async def test_an_event_that_came_first_counts_from_the_position_on(stage: Stage, door: Door) -> None:
    """Not those before it; of those that fit, the first."""
    before = await door.publish({"doc": "a", "n": 1})
    await door.publish({"doc": "b", "n": 2})
    await door.publish({"doc": "a", "n": 3})
    await door.publish({"doc": "a", "n": 4})
    execution_id = await stage.waiting(event_wait({"doc": "a"}, after=before))
    woken = await eventually(lambda: _woken(stage, execution_id))
    assert msgspec.json.decode(woken.result)["data"]["n"] == 3


@pytest.mark.usefixtures("copies")
async def test_a_look_back_goes_through_any_number_of_events(stage: Stage, door: Door) -> None:
    """More than are read at once, and other names between them."""
    await asyncio.gather(*(door.publish({"n": n}) for n in range(1300)), *(door.publish(n, "x") for n in range(50)))
    await door.publish({"n": "last"})
    execution_id = await stage.waiting(event_wait({"n": "last"}))
    await eventually(lambda: _woken(stage, execution_id))


@pytest.mark.usefixtures("copies")
async def test_events_and_waits_that_come_at_once_all_meet(stage: Stage, door: Door) -> None:
    """Each wait ends, whichever of the two was stored first."""
    indices = range(60)
    ids: dict[int, str] = {}

    async def wait_for(index: int) -> None:
        ids[index] = await stage.waiting(event_wait({"n": index}))

    async def send(index: int) -> None:
        await door.publish({"n": index}, f"{NAME}")

    mixed = [coroutine for index in indices for coroutine in (send(index), wait_for(index))]
    await asyncio.gather(*mixed)
    for index in indices:
        woken = await eventually(lambda index=index: _woken(stage, ids[index]))  # type: ignore[misc]
        assert msgspec.json.decode(woken.result)["data"] == {"n": index}


async def test_waits_from_before_the_start_and_events_meanwhile_are_found(
    stage: Stage, door: Door, make: Callable[..., Copy]
) -> None:
    """Nobody was there when they came."""
    early = await stage.waiting(event_wait({"n": 1}))
    late = await stage.waiting(event_wait({"n": 2}))
    await door.publish({"n": 1})
    await make().begin()
    await eventually(lambda: _woken(stage, early))
    await door.publish({"n": 2})
    await eventually(lambda: _woken(stage, late))


async def test_a_copy_that_is_killed_leaves_the_rest_to_the_next(
    stage: Stage, door: Door, make: Callable[..., Copy]
) -> None:
    """Nothing that it had seen and not stored is lost, with or without a bookmark."""
    first = make()
    await first.begin()
    done, left = await stage.waiting(event_wait({"n": 1})), await stage.waiting(event_wait({"n": 2}))
    await door.publish({"n": 1})
    await eventually(lambda: _woken(stage, done))

    async def marked() -> bool:
        await first.matching.mark()
        return first.matching._known[0] > 0

    await eventually(marked)
    await first.kill()
    await door.publish({"n": 2})
    await make().begin()
    await eventually(lambda: _woken(stage, left))


async def test_a_restart_does_not_look_through_old_events_again(
    stage: Stage, door: Door, make: Callable[..., Copy], connection: Connection, environment: Names
) -> None:
    """The bookmark says up to where; a wait opened after it begins where it says itself."""
    first = make()
    await first.begin()
    for n in range(20):
        last = await door.publish({"n": n})
    old = await stage.waiting(event_wait({"n": "x"}))
    await eventually(lambda: first.matching._joined and not first.matching._looks)
    await first.matching.mark()
    await first.kill()
    source = _Watched(connection, environment)
    second = make(source)
    await second.begin()
    await eventually(lambda: second.matching._joined)
    assert source.reads[0] == (NAME, last)
    new = await stage.waiting(event_wait({"n": 5}, key="later"))
    await eventually(lambda: _woken(stage, new))
    assert source.reads[1] == (NAME, 0)
    await door.publish({"n": "x"})
    await eventually(lambda: _woken(stage, old))


async def test_nobody_waits_so_nothing_is_consumed(
    stage: Stage,
    door: Door,
    make: Callable[..., Copy],
    connection: Connection,
    environment: Names,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A consumer is there while somebody waits, filtered to the names, and given up some time after."""
    monkeypatch.setattr(event_waits, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(event_waits, "LOOK_SECONDS", 0.05)
    copy = make()
    await copy.begin()

    async def filters() -> list[str]:
        answer = await request(connection, f"$JS.API.CONSUMER.LIST.{environment.events}")
        return [each["config"].get("filter_subject", "") for each in answer["consumers"]]

    assert await filters() == []
    execution_id = await stage.waiting(event_wait())
    await eventually(lambda: copy.matching._joined)
    await door.publish(1, "other")
    assert await filters() == [environment.event_subject(NAME)]
    await door.publish(1)
    await eventually(lambda: _woken(stage, execution_id))
    await eventually(lambda: copy.matching._steps is None)


@pytest.mark.usefixtures("copies")
async def test_every_form_of_an_event_counts(stage: Stage, door: Door) -> None:
    """Structured, binary, bare; the function is given the same event as a function that the event starts."""
    structured = {"specversion": "1.0", "id": "e-1", "source": "/s", "type": NAME, "data": {"n": 1}}
    binary = {"ce-specversion": "1.0", "ce-id": "e-2", "ce-source": "/s", "ce-type": NAME}
    ids = [await stage.waiting(event_wait({"n": n})) for n in (1, 2)]
    await door.publish(structured, **{"Content-Type": ce.STRUCTURED})
    await door.publish({"n": 2}, **binary)
    one = await eventually(lambda: _woken(stage, ids[0]))
    two = await eventually(lambda: _woken(stage, ids[1]))
    assert (one.source, two.source) == ("e-1", "e-2")
    assert bytes(one.result) == bytes(ce.encode_event(ce.parse_structured(msgspec.json.encode(structured))))


@pytest.mark.usefixtures("copies")
async def test_what_ingest_rejects_ends_nothing(stage: Stage, door: Door) -> None:
    """No JSON, too deep, another name inside, too large; the good one behind them counts."""
    execution_id = await stage.waiting(event_wait())
    await door.publish(b"{")
    await door.publish(b"[" * 100 + b"]" * 100)
    wrong = {"specversion": "1.0", "id": "e", "source": "/s", "type": "other"}
    await door.publish(wrong, **{"Content-Type": ce.STRUCTURED})
    await door.publish("x" * (600 * 1024))
    await door.publish({"good": True})
    woken = await eventually(lambda: _woken(stage, execution_id))
    assert msgspec.json.decode(woken.result)["data"] == {"good": True}


async def test_a_large_event_goes_to_the_object_store(stage: Stage, door: Door, copies: list[Copy]) -> None:
    """The fact has its name."""
    execution_id = await stage.waiting(event_wait())
    await door.publish({"text": "x" * payload_inline_bytes_max})
    woken = await eventually(lambda: _woken(stage, execution_id))
    assert woken.result_ref is not None
    stored = msgspec.json.decode(await copies[0].payloads.get(woken.result_ref))
    assert len(stored["data"]["text"]) == payload_inline_bytes_max


@pytest.mark.usefixtures("copies")
async def test_an_execution_that_runs_hears_of_the_event_as_well(stage: Stage, door: Door) -> None:
    """Its activation goes on."""
    execution_id = await stage.waiting(event_wait(), suspends=False)
    await door.publish(1)
    woken = await eventually(lambda: _woken(stage, execution_id))
    assert not woken.wakes
    assert (await stage.state(execution_id)).owner == "r1"


@pytest.mark.usefixtures("copies")
async def test_the_first_of_alternatives_ends_the_others(stage: Stage, door: Door) -> None:
    """Events for those come too late."""
    waits = [f.Wait(key=key, wait="event", name=key, group="g") for key in ("left", "right")]
    execution_id = await stage.waiting(*waits)
    await door.publish(1, "right")
    await eventually(lambda: _woken(stage, execution_id))
    await door.publish(1, "left")
    marker = await stage.waiting(event_wait(name="left"))
    await eventually(lambda: _woken(stage, marker))
    assert (await stage.kinds(execution_id)).count("woken") == 1


@pytest.mark.usefixtures("copies")
async def test_many_names_are_followed_without_a_filter_for_each(stage: Stage, door: Door) -> None:
    """More than a consumer should compare each event with."""
    names = [f"n{index}" for index in range(120)]
    ids = dict(zip(names, await asyncio.gather(*(stage.waiting(event_wait(name=n)) for n in names)), strict=True))
    await asyncio.gather(*(door.publish(1, name) for name in names))
    for name in names:
        await eventually(lambda name=name: _woken(stage, ids[name]))  # type: ignore[misc]


async def test_a_cancelled_wait_is_forgotten(stage: Stage, door: Door, copies: list[Copy]) -> None:
    """Its event comes and decides nothing."""
    execution_id = await stage.waiting(event_wait())
    await eventually(lambda: copies[0].matching._joined)
    await stage.send(execution_id, c.RequestCancel())
    await eventually(lambda: not copies[0].agenda.events)
    await door.publish(1)
    marker = await stage.waiting(event_wait())
    await eventually(lambda: _woken(stage, marker))
    assert await stage.kinds(execution_id) == ["enqueued", "started", "wait_opened", "cancelled"]


class _Watched(StoredEvents):
    """Notes what is looked through."""

    def __init__(self, connection: Connection, names: Names) -> None:
        super().__init__(connection, names)
        self.reads: list[tuple[str, int]] = []

    async def read(self, name: str, after: int) -> tuple[list[StoredEvent], bool]:
        self.reads.append((name, after))
        return await super().read(name, after)


async def _woken(stage: Stage, execution_id: str) -> f.Woken | None:
    return next((fact for fact in await stage.facts(execution_id) if isinstance(fact, f.Woken)), None)
