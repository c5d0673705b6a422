"""Ten years of several schedules in seconds: two schedulers, killed at any step, and still each tick exactly once."""

import heapq
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from penstock.domain.ids import tick_execution_id
from penstock.domain.schedule import facts as f
from penstock.domain.schedule.decide import Decision, decide, wakes_at
from penstock.domain.schedule.state import Schedule, evolve
from schedules import ENVIRONMENT, SECOND, spec

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BEGIN = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)
YEARS = 10
SCHEDULES = [
    ("30 2 * * *", "America/New_York"),
    ("30 1 * * *", "America/New_York"),
    ("45 1 * * SUN", "Australia/Lord_Howe"),
    ("0 0 L * *", "Africa/Casablanca"),
    ("0 0 29 2 *", "Europe/Berlin"),
    ("0 8 * * MON#2", "Asia/Kathmandu"),
    ("0 0 */2 * 1", "Antarctica/Troll"),
    ("15 2,14 1,15 * FRI", "Europe/Berlin"),
]


class Killed(Exception):  # noqa: N818
    """The scheduler died here."""


class World:
    """A log with expected sequences, timers that deliver again what was not acknowledged, and a clock."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = us(BEGIN)
        self.sequence = 0
        self.states: dict[str, Schedule] = {}
        self.executions: Counter[str] = Counter()
        self.ledger: list[tuple[str, f.LedgerEntry]] = []
        self.timers: dict[str, int] = {}
        self.due: list[tuple[int, str, bool]] = []
        self.kills = 0

    def append(self, key: str, expected: int, fact: f.AnyScheduleFact, made: list[str]) -> bool:
        """All or nothing, as the atomic batch is."""
        state = self.states.get(key)
        if (state.sequence if state else 0) != expected or any(self.executions[each] for each in made):
            return False
        self.sequence += 1
        self.states[key] = evolve(state, fact, self.sequence)
        self.executions.update(made)
        if isinstance(fact, f.Ticked):
            self.ledger += [(key, entry) for entry in fact.entries]
        return True

    def wake(self, at: int, key: str) -> None:
        """A later call for the same schedule replaces the earlier."""
        self.timers[key] = at
        heapq.heappush(self.due, (at, key, False))

    def deliver_again(self, key: str) -> None:
        heapq.heappush(self.due, (self.now + self.chance.randrange(SECOND // 10, SECOND), key, True))

    def next(self, end: int) -> str | None:
        """The schedule of the next wake-up, at whose time it then is."""
        while self.due and self.due[0][0] <= end:
            at, key, again = heapq.heappop(self.due)
            if again or self.timers.get(key) == at:
                if not again:
                    del self.timers[key]
                self.now = max(self.now, at) + self.chance.randrange(1000, 300_000)
                return key
        return None

    def risk(self) -> None:
        if self.chance.random() < 0.05:
            self.kills += 1
            raise Killed


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def work(world: World, key: str, seen: Schedule) -> None:
    """What a scheduler does with a wake-up. `seen` may be older than the log: another one was quicker."""
    state = seen
    while True:
        decision: Decision = decide(state, ENVIRONMENT, world.now, ())
        world.risk()
        if decision.fact is None:
            break
        made = [each.execution_id for each in decision.fire]
        stored = world.append(key, state.sequence, decision.fact, made)
        world.risk()
        state = world.states[key]
        if stored:
            break
    following = wakes_at(state, state.cursor, world.now)
    if following is not None:
        world.wake(max(following, world.now), key)
    world.risk()


@pytest.mark.parametrize("seed", [1, 2])
def test_ten_years_of_awkward_schedules_give_each_tick_exactly_once(seed: int) -> None:
    """With an independent implementation as the oracle."""
    world = World(seed)
    for number, (cron, zone) in enumerate(SCHEDULES):
        key = f"s{number}"
        world.append(key, 0, f.SchedulePut(at=world.now, key=key, spec=spec(cron=cron, timezone=zone)), [])
        world.wake(world.now, key)
    end = us(BEGIN.replace(year=BEGIN.year + YEARS))
    while (key := world.next(end)) is not None:
        before = world.states[key]
        rounds = 2 if world.chance.random() < 0.3 else 1
        for _ in range(rounds):
            # Both may hold the same wake-up, and the second may have read the history before the first wrote.
            try:
                work(world, key, before)
            except Killed:
                # Not acknowledged: it is delivered again.
                world.deliver_again(key)
    assert world.kills > 200
    assert not [count for count in world.executions.values() if count != 1]
    expected = {
        tick_execution_id(ENVIRONMENT, f"s{number}", tick)
        for number, (cron, zone) in enumerate(SCHEDULES)
        for tick in oracle(cron, zone, end)
    }
    assert set(world.executions) == expected
    ends = Counter((key, entry.tick) for key, entry in world.ledger)
    assert set(ends.values()) == {1}
    assert len(ends) == len(expected)


def oracle(cron: str, zone: str, end: int) -> list[int]:
    found = []
    for moment in CronSim(cron, BEGIN.astimezone(ZoneInfo(zone))):
        tick = us(moment.astimezone(UTC))
        if tick > end:
            return found
        found.append(tick)
    return found
