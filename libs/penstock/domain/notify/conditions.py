"""Conditions: what is true for a while rather than happens once. It is told when it begins and when it ends."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from penstock.domain.notify.notice import Notice, notice_id
from penstock.domain.notify.rules import Rule
from penstock.domain.notify.seen import Seen
from penstock.domain.notify.waiting import Waiting

BUCKETS = 10
"""A window moves in so many steps."""


class Episode(msgspec.Struct, frozen=True):
    """A condition that holds: the id of the notice that told it, and since when."""

    id: str
    since: int


class Measured(NamedTuple):
    """What does not stand in the log: functions without a runner, and since when the view has been behind."""

    without_runner: frozenset[str] = frozenset()
    view_behind_since: int | None = None


class Bucket(msgspec.Struct):
    """Executions that ended in one step of a window."""

    start: int
    ended: int = 0
    failed: int = 0


class Conditions(msgspec.Struct):
    """The state of one rule about a condition."""

    episodes: dict[str, Episode] = {}
    windows: dict[str, list[Bucket]] = {}
    schedules: dict[str, int | None] = {}
    """Schedule -> when its next tick is due, as its last fact said."""

    def take(self, rule: Rule, seen: Seen) -> None:
        """One fact."""
        if rule.failure_rate is not None and seen.kind in ("succeeded", "failed") and rule.covers(seen.function):
            step = rule.failure_rate.within // BUCKETS or 1
            buckets = self.windows.setdefault(seen.function, [])
            if not buckets or seen.at >= buckets[-1].start + step:
                buckets.append(Bucket(seen.at - seen.at % step))
            buckets[-1].ended += 1
            buckets[-1].failed += seen.kind == "failed"
        elif rule.schedule_silent is not None and seen.schedule:
            self.schedules[seen.schedule] = seen.wakes_at

    def advance(self, rule: Rule, now: int, waiting: Waiting, measured: Measured) -> Iterator[Notice]:
        """What begins or ends at this moment."""
        if rule.failure_rate is not None:
            yield from self._rates(rule, now)
        elif rule.queue_older_than is not None:
            yield from self._queues(rule, now, waiting, rule.queue_older_than, None)
        elif rule.no_runner is not None:
            yield from self._queues(rule, now, waiting, rule.no_runner, measured.without_runner)
        elif rule.schedule_silent is not None:
            yield from self._silence(rule, now, rule.schedule_silent)
        elif rule.view_lag is not None:
            yield from self._lag(rule, now, rule.view_lag, measured.view_behind_since)

    def _rates(self, rule: Rule, now: int) -> Iterator[Notice]:
        limits = rule.failure_rate
        assert limits is not None
        for function, buckets in list(self.windows.items()):
            while buckets and buckets[0].start + limits.within < now:
                del buckets[0]
            if not buckets:
                del self.windows[function]
            ended, failed = sum(each.ended for each in buckets), sum(each.failed for each in buckets)
            holds = ended >= limits.at_least and failed > limits.above * ended
            text = f"{function}: {failed} of the last {ended} executions failed ({_span(limits.within)})."
            anchor = str(buckets[0].start) if buckets else ""
            yield from self._turn(rule, function, now, holds, anchor, text, f"{function}: the failure rate is down.")
        for function in self.episodes.keys() - self.windows.keys():
            yield from self._turn(rule, function, now, False, "", "", f"{function}: the failure rate is down.")

    def _queues(
        self, rule: Rule, now: int, waiting: Waiting, limit: int, without_runner: frozenset[str] | None
    ) -> Iterator[Notice]:
        for function in sorted({*waiting.by_function, *self.episodes}):
            if not rule.covers(function):
                continue
            oldest = waiting.oldest(function)
            holds = oldest is not None and now - oldest[1] > limit
            execution_id, since = oldest if oldest is not None else ("", now)
            count = waiting.count(function)
            queue = "1 execution waits" if count == 1 else f"{count} executions wait, the oldest"
            waits = f"{queue} for {_span(now - since)}"
            text, over = f"{function}: {waits}.", f"{function}: the queue moves again."
            if without_runner is not None:
                holds = holds and function in without_runner
                text, over = f"No runner has {function}; {waits}.", f"A runner has {function} again."
            # An execution may wait for long more than once.
            anchor = f"{execution_id} {since}"
            yield from self._turn(rule, function, now, holds, anchor, text, over, execution_id)

    def _silence(self, rule: Rule, now: int, limit: int) -> Iterator[Notice]:
        for key, wakes_at in self.schedules.items():
            holds = wakes_at is not None and now - wakes_at > limit
            late = _span(now - wakes_at) if wakes_at is not None else ""
            text, over = f"Schedule {key} should have ticked {late} ago.", f"Schedule {key} is well again."
            yield from self._turn(rule, key, now, holds, str(wakes_at), text, over)

    def _lag(self, rule: Rule, now: int, limit: int, since: int | None) -> Iterator[Notice]:
        holds = since is not None and now - since > limit
        text = f"The view has been behind the log for {_span(now - (since or now))}: lists and pages show the past."
        yield from self._turn(rule, "", now, holds, str(since), text, "The view has caught up with the log.")

    def _turn(
        self, rule: Rule, subject: str, now: int, holds: bool, anchor: str, text: str, over: str, execution_id: str = ""
    ) -> Iterator[Notice]:
        episode = self.episodes.get(subject)
        if holds == (episode is not None):
            return
        is_schedule = rule.schedule_silent is not None
        schedule, function = (subject, "") if is_schedule else ("", subject)
        if episode is None:
            first = notice_id(rule.name, rule.condition, subject, anchor)
            self.episodes[subject] = Episode(first, now)
            yield Notice(
                id=first, rule=rule.name, about=rule.condition, at=now, text=text, incident=first, since=now,
                execution_id=execution_id, schedule=schedule,
                function=function,
            )  # fmt: skip
        else:
            del self.episodes[subject]
            yield Notice(
                id=notice_id(rule.name, episode.id, "over"), rule=rule.name, about=rule.condition, at=now, text=over,
                incident=episode.id, since=episode.since, over=True, schedule=schedule,
                function=function,
            )  # fmt: skip


def _span(microseconds: int) -> str:
    """A length of time in its two largest units."""
    seconds = max(0, microseconds) // 1_000_000
    parts = []
    for name, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size:
            parts.append(f"{seconds // size} {name}")
            seconds %= size
    return " ".join(parts[:2]) or "0 s"
