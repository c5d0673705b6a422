"""What is decided about executions that run for others: a debounce that is over, a batch that starts, a singleton that
is followed. As facts, which are stored together or not at all.
"""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from penstock.domain.execution.facts import AnyFact, Due, Enqueued, Followed, Joined, JoinReason
from penstock.domain.flow.gatherings import Gathering
from penstock.domain.flow.lines import Item
from penstock.domain.flow.state import FlowState
from penstock.domain.ids import batch_execution_id

LEAST = 3
"""The first gathering of a decision may take so many facts, whatever the limit: else it might wait for ever."""


class Entry(NamedTuple):
    """Facts of one execution, the last fact of which stands at `expected` (0: none yet)."""

    execution_id: str
    function: str
    expected: int
    facts: list[AnyFact]


def closing(state: FlowState, now: int, limit: int, is_first: bool) -> tuple[list[Entry], int]:
    """What follows from the gatherings that are over, in up to `limit` facts, and how many these are."""
    entries: list[Entry] = []
    size = 0
    for gathering in state.gatherings.due(now, max(limit, 1)):
        first = is_first and not entries
        left = max(limit - size, LEAST) if first else limit - size
        found = _merged(gathering, now, left) if gathering.kind == "debounce" else _batch(gathering, now, left, first)
        if not found:
            break
        entries += found
        size += sum(len(entry.facts) for entry in found)
    return entries, size


def followers(state: FlowState, leaders: Sequence[str], now: int, limit: int) -> list[Entry]:
    """Those that are to follow these leaders follow them, in up to `limit` facts (at least 2)."""
    entries: list[Entry] = []
    left = max(limit, 2)
    for leader in leaders:
        item = state.items.get(leader)
        joining = list(islice(state.singles.joining.get(leader, {}).values(), max(left - 1, 0)))
        if item is None or not joining:
            continue
        fact = Followed(n=item.n + 1, at=now, followers=[each.id for each in joining], reason="singleton")
        entries += (_joined(each, now, leader, "singleton") for each in joining)
        entries.append(_entry(item, [fact]))
        left -= len(joining) + 1
    return entries


def _merged(gathering: Gathering, now: int, limit: int) -> list[Entry]:
    """The newest goes on when all others have joined it, which takes several decisions if there are many."""
    leader = gathering.newest()
    others = sorted((each for each in gathering.items.values() if each is not leader), key=lambda each: each.arrival)
    facts: list[AnyFact] = []
    is_last = len(others) + bool(others) + 1 <= limit
    if not is_last:
        others = others[: max(limit - 1, 0)]
        if not others:
            return []
    if others:
        ids = [each.id for each in others]
        facts.append(Followed(n=leader.n + 1, at=now, followers=ids, reason="debounce"))
    if is_last:
        facts.append(Due(n=leader.n + len(facts) + 1, at=now, gated=True))
    return [*(_joined(each, now, leader.id, "debounce") for each in others), _entry(leader, facts)]


def _batch(gathering: Gathering, now: int, limit: int, is_first: bool) -> list[Entry]:
    members = sorted(gathering.items.values(), key=lambda each: each.arrival)
    if not is_first and len(members) + 1 > limit:
        return []
    batch = batch_execution_id(members[0].id)
    line = members[0].line
    fact = Enqueued(
        n=1, at=now, function=line.function, gated=True, keys=line.keys, members=[each.id for each in members],
        priority=max(each.priority for each in members), trace_id=batch,
    )  # fmt: skip
    joined = [_joined(each, now, batch, "batch", index) for index, each in enumerate(members)]
    return [Entry(batch, line.function, 0, [fact]), *joined]


def _joined(item: Item, now: int, leader: str, reason: JoinReason, index: int | None = None) -> Entry:
    return _entry(item, [Joined(n=item.n + 1, at=now, leader=leader, reason=reason, index=index)])


def _entry(item: Item, facts: list[AnyFact]) -> Entry:
    return Entry(item.id, item.line.function, item.sequence, facts)
