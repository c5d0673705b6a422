"""Schedules for tests: facts in a list instead of a log, and times as text."""

from datetime import UTC, datetime, timedelta
from typing import Any

from penstock.domain.schedule import facts as f
from penstock.domain.schedule.decide import Decision, backfill, decide
from penstock.domain.schedule.spec import ScheduleSpec, make_rule
from penstock.domain.schedule.state import Schedule, fold

SECOND = 1_000_000
KEY = "report"
START = "2026-01-01T00:00:00"
ENVIRONMENT = "test"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(text: str) -> int:
    """Microseconds of an instant in UTC; a time alone is one on the first of January 2026."""
    if "T" not in text:
        text = f"2026-01-01T{text}"
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def clock(instant: int) -> str:
    """The time of day, or day and time when it is not the first of January 2026."""
    moment = _EPOCH + timedelta(microseconds=instant)
    return f"{moment:%H:%M:%S}" if moment.date().isoformat() == "2026-01-01" else f"{moment:%m-%dT%H:%M:%S}"


def spec(**rule: Any) -> ScheduleSpec:
    """A spec with this rule; every minute if nothing is said."""
    if "cron" not in rule and "every" not in rule:
        rule["cron"] = "* * * * *"
    return ScheduleSpec(function="report", rule=make_rule(at(START), **rule))


class History:
    """The facts of one schedule, and what the rules answer to them."""

    def __init__(self, first: ScheduleSpec, when: str = START) -> None:
        self.facts: list[f.AnyScheduleFact] = []
        self.add(f.SchedulePut(at=at(when), key=KEY, spec=first))

    @property
    def state(self) -> Schedule:
        state = fold(enumerate(self.facts, 1))
        assert state is not None
        return state

    def add(self, fact: f.AnyScheduleFact) -> None:
        self.facts.append(fact)

    def put(self, when: str, new: ScheduleSpec) -> None:
        self.add(f.SchedulePut(at=at(when), key=KEY, spec=new))

    def pause(self, when: str) -> None:
        self.add(f.SchedulePaused(at=at(when), key=KEY))

    def resume(self, when: str) -> None:
        self.add(f.ScheduleResumed(at=at(when), key=KEY))

    def delete(self, when: str) -> None:
        self.add(f.ScheduleDeleted(at=at(when), key=KEY))

    def now(self, when: str, *running: str) -> Decision:
        """What is decided at this time; it becomes part of the history."""
        return self._keep(decide(self.state, ENVIRONMENT, at(when), running))

    def fill(self, when: str, existing: tuple[str, ...] = ()) -> Decision:
        """The next piece of a backfill."""
        return self._keep(backfill(self.state, ENVIRONMENT, at(when), existing))

    def _keep(self, decision: Decision) -> Decision:
        if decision.fact is not None:
            self.add(decision.fact)
        return decision


def fired(decision: Decision) -> list[str]:
    """The ticks that were given an execution."""
    return [clock(each.tick) for each in decision.fire]


def ledger(decision: Decision) -> list[tuple[str, str, str, int]]:
    """(tick, outcome, reason, count) of each entry."""
    if decision.fact is None:
        return []
    return [(clock(each.tick), each.outcome, each.reason, each.count) for each in decision.fact.entries]
