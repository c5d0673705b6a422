"""The fold behind the stream of changes, and when it shows them, on logs in memory."""

import random
from collections.abc import AsyncIterator, Sequence

import pytest

from penstock.ports import LogEntry, Recorded
from penstock.wire.codec import decode_fact
from penstock.wire.names import Names
from penstock.wire.sse import ServerEventParser, event_block, position_block
from penstock_query import stream
from penstock_query.changes import EVENTS, Change, Folder
from penstock_query.fold import Known
from penstock_query.progress import Progress
from penstock_query.stream import Changes
from services_query import entries_of, legal_history

NAMES = Names("t")


class MemoryLog:
    """A log whose facts are read by execution; as a view it has nothing."""

    def __init__(self, entries: Sequence[LogEntry]) -> None:
        self.entries = entries

    async def read(self, execution_id: str, function: str) -> list[Recorded]:
        return [
            Recorded(execution_id, function, each.sequence, decode_fact(each.data))
            for each in self.entries
            if f".{execution_id}." in each.subject
        ]

    async def bodies(self, ids: Sequence[str]) -> list[Known]:
        return []

    async def follow(self, after: int) -> AsyncIterator[list[LogEntry]]:
        for entry in self.entries[after:]:
            yield [entry]

    async def scan(self, after: int, limit: int) -> list[LogEntry]:
        return list(self.entries[after : after + limit])


def log_of(seed: int) -> MemoryLog:
    dice = random.Random(seed)
    return MemoryLog(entries_of(NAMES, legal_history(dice), dice))


def folder(log: MemoryLog) -> Folder:
    return Folder(NAMES, log, log, "")


def changes_of(log: MemoryLog, progress: Progress) -> Changes:
    async def position() -> int:
        return 0

    return Changes(log.follow, log.scan, lambda: folder(log), position, progress)


async def read_all(changes: Changes, last: int) -> list[Change]:
    """What a reader from the beginning is given until it is at the end."""
    found: list[Change] = []
    position = 0
    with changes.reader():
        while position < last:
            part = await changes.after(position, 5)
            found, position = found + part.changes, part.position
    return found


@pytest.mark.parametrize("seed", range(30))
async def test_changes_are_the_same_from_wherever_the_log_is_read(seed: int) -> None:
    """A stretch that begins in the middle of histories, in pieces of any size, tells what the whole log tells."""
    log, dice = log_of(seed), random.Random(seed)
    everything = await folder(log).fold(log.entries)
    start = dice.randint(0, len(log.entries))
    part, found = folder(log), []
    while start < len(log.entries):
        end = start + dice.randint(1, 10)
        found.append((start, await part.fold(log.entries[start:end])))
        start = end
    told = [change for _, changes in found for change in changes]
    assert told == [change for change in everything if found and change.sequence > found[0][0]]


async def test_every_execution_is_created_once_and_ends_at_most_once() -> None:
    """All names of events occur, and positions only grow."""
    seen = set()
    for seed in range(60):
        changes = await folder(log := log_of(seed)).fold(log.entries)
        assert [change.sequence for change in changes] == sorted({change.sequence for change in changes})
        for execution_id in {change.execution.id for change in changes}:
            told = [change.event for change in changes if change.execution.id == execution_id]
            assert (told[0], told.count("created")) == ("created", 1)
            assert "final" not in told[:-1]
            seen.update(told)
    assert seen == set(EVENTS) - {"skipped"}


async def test_nothing_is_shown_before_the_view_has_it() -> None:
    """A change waits for the commit of its row."""
    log, progress = log_of(1), Progress()
    changes = changes_of(log, progress)
    with changes.reader():
        assert (await changes.after(0, 0.02)).changes == []
        progress.advance(1, (), ())
        assert [change.sequence for change in (await changes.after(0, 5)).changes] == [1]


@pytest.mark.parametrize("seed", range(5))
async def test_a_reader_behind_what_is_kept_misses_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hardly anything kept it reads the log in small pieces, and joins where those end."""
    monkeypatch.setattr(stream, "KEPT", 2)
    monkeypatch.setattr(stream, "SCAN", 3)
    log, progress = log_of(seed), Progress()
    progress.advance(len(log.entries), (), ())
    assert await read_all(changes_of(log, progress), len(log.entries)) == await folder(log).fold(log.entries)


def test_events_are_parsed_from_any_pieces() -> None:
    """What is written is read, wherever the bytes are cut; a position counts when its block is whole."""
    text = '{"a":"x\u2028y\x85"}'.encode()
    blocks = (
        position_block("x:1", "hello", 1000) + event_block("x:2", "created", text) + event_block("x:3", "final", b"1")
    )
    for size in range(1, len(blocks)):
        parser = ServerEventParser()
        found = [event for at in range(0, len(blocks), size) for event in parser.feed(blocks[at : at + size])]
        assert [tuple(event) for event in found] == [("x:2", "created", text.decode()), ("x:3", "final", "1")]
        assert parser.last_id == "x:3"
    parser = ServerEventParser()
    assert parser.feed(blocks[:-1])[-1].id == parser.last_id == "x:2"
