"""Executions that wait together: triggers of a debounce, of which the newest will run, and members of a batch."""

from heapq import heappop, heappush
from typing import Literal

from penstock.domain.flow.limits import BATCH, DEBOUNCE, Batch, Debounce, FlowOptions
from penstock.domain.flow.lines import Item, Status, came_at
from penstock.domain.limits import batch_bytes_max, followers_max

Kind = Literal["debounce", "batch"]
Place = tuple[str, str]
"""Function and key."""


class Gathering:
    """`number` is the arrival of its first execution, by which it is known; `due` is when it closes (µs).

    `leader` is the execution that the others of a debounce are joining, from the first fact that says so.
    """

    __slots__ = ("bytes", "due", "items", "kind", "leader", "number", "opened", "place")

    def __init__(self, kind: Kind, place: Place, number: int, opened: int) -> None:
        self.kind = kind
        self.place = place
        self.number = number
        self.opened = opened
        self.due = 0
        self.leader = ""
        self.items: dict[str, Item] = {}
        self.bytes = 0

    def add(self, item: Item) -> None:
        item.status, item.gathering = Status.GATHERING, self.number
        self.items[item.id] = item
        self.bytes += item.weight

    def newest(self) -> Item:
        """The one whose arguments count."""
        return self.items.get(self.leader) or max(self.items.values(), key=lambda each: each.arrival)


class Gatherings:
    """All gatherings of an environment."""

    def __init__(self) -> None:
        self.all: dict[int, Gathering] = {}
        self.open: dict[Place, Gathering] = {}
        """Those that the next execution of their place joins."""
        self._times: list[tuple[int, int]] = []
        """A heap of (due, number); an entry that is out of date is passed over, or brought up to date."""

    def gather(self, item: Item, flow: FlowOptions, clock: int) -> None:
        """The execution waits with others from now on."""
        if flow.debounce is not None:
            self._debounce(item, flow.debounce, clock)
        elif flow.batch is not None:
            self._collect(item, flow.batch, clock)

    def _debounce(self, item: Item, rule: Debounce, clock: int) -> None:
        found = self._enter(item, "debounce", (item.line.function, item.line.keys.get(DEBOUNCE, "")), clock)
        due = clock + _us(rule.period)
        if rule.max_delay is not None:
            due = min(due, found.opened + _us(rule.max_delay))
        self._set_due(found, due)
        if len(found.items) > followers_max:
            self.close(found)

    def _collect(self, item: Item, rule: Batch, clock: int) -> None:
        place = (item.line.function, item.line.keys.get(BATCH, ""))
        before = self.open.get(place)
        if before is not None and before.bytes + item.weight > batch_bytes_max:
            self.close(before)
        found = self._enter(item, "batch", place, clock)
        self._set_due(found, found.opened + _us(rule.wait))
        if len(found.items) >= rule.size:
            self.close(found)

    def _enter(self, item: Item, kind: Kind, place: Place, clock: int) -> Gathering:
        found = self.open.get(place)
        if found is None:
            found = self.open[place] = self.all[item.arrival] = Gathering(kind, place, item.arrival, clock)
        found.add(item)
        return found

    def split(self, gathering: Gathering, late: list[Item], flow: FlowOptions) -> None:
        """These came after it was decided that the gathering closes, and before the log had that: they open the next
        one, whose time counts from the first of them.
        """
        if self.open.get(gathering.place) is gathering:
            del self.open[gathering.place]
        for item in sorted(late, key=lambda each: each.arrival):
            del gathering.items[item.id]
            gathering.bytes -= item.weight
            self.gather(item, flow, came_at(item))

    def close(self, gathering: Gathering) -> None:
        """Nobody else joins it, and it is due."""
        if self.open.get(gathering.place) is gathering:
            del self.open[gathering.place]
        self._set_due(gathering, 0)

    def leave(self, item: Item) -> None:
        """The execution waits with the others no more."""
        found = self.all.get(item.gathering)
        item.gathering = 0
        if found is None or found.items.pop(item.id, None) is None:
            return
        found.bytes -= item.weight
        if found.leader == item.id:
            # The newest of those that have not joined it takes its place.
            found.leader = ""
        if not found.items:
            del self.all[found.number]
            if self.open.get(found.place) is found:
                del self.open[found.place]

    def dissolve(self, function: str) -> list[Item]:
        """The executions of all gatherings of the function that nobody has joined yet, in order of arrival."""
        found: list[Item] = []
        for gathering in [each for each in self.all.values() if each.place[0] == function and not each.leader]:
            found += gathering.items.values()
            del self.all[gathering.number]
            if self.open.get(gathering.place) is gathering:
                del self.open[gathering.place]
        for item in found:
            item.gathering = 0
        return sorted(found, key=lambda each: each.arrival)

    def restore(self, gathering: Gathering, is_open: bool) -> None:
        """One from a snapshot."""
        self.all[gathering.number] = gathering
        if is_open:
            self.open[gathering.place] = gathering
        heappush(self._times, (gathering.due, gathering.number))

    def next_due(self) -> int | None:
        """When the next one closes (µs)."""
        while self._times:
            due, number = self._times[0]
            found = self.all.get(number)
            if found is not None and found.due == due:
                return due
            heappop(self._times)
            if found is not None and found.due > due:
                heappush(self._times, (found.due, number))
        return None

    def due(self, now: int, limit: int) -> list[Gathering]:
        """Up to `limit` that close at this time or should have, the earliest first. They stay."""
        found: dict[int, Gathering] = {}
        taken: list[tuple[int, int]] = []
        while len(found) < limit and (due := self.next_due()) is not None and due <= now:
            taken.append(heappop(self._times))
            found[taken[-1][1]] = self.all[taken[-1][1]]
        for number, gathering in found.items():
            heappush(self._times, (gathering.due, number))
        return list(found.values())

    def _set_due(self, gathering: Gathering, due: int) -> None:
        # While it only moves on, the entry that is there brings itself up to date.
        if not gathering.due or due < gathering.due:
            heappush(self._times, (due, gathering.number))
        gathering.due = due


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
