"""All rules over one log: facts in, notices out. The same for live rules and for trying a rule on what was recorded."""

from collections.abc import Iterable, Iterator

import msgspec

from penstock.domain.notify.conditions import Conditions, Measured
from penstock.domain.notify.incidents import Incidents
from penstock.domain.notify.notice import Notice
from penstock.domain.notify.rules import Rule
from penstock.domain.notify.seen import Seen
from penstock.domain.notify.waiting import Waiting

NOTHING_MEASURED = Measured()
ADVANCE_MICROSECONDS = 1_000_000
"""While many facts come, rules look at the passing of time only so often."""


class RuleState(msgspec.Struct):
    """What one rule remembers. `since`: it judges facts behind this position."""

    since: int = 0
    incidents: Incidents = msgspec.field(default_factory=Incidents)
    conditions: Conditions = msgspec.field(default_factory=Conditions)


class WatchState(msgspec.Struct):
    """What all rules remember after the facts up to `position`; together with `waiting_from` it can be stored.

    `waiting_from` is where the log has to be read from to know again who waits.
    """

    position: int = 0
    now: int = 0
    looked_at: int = 0
    """When the rules looked at the passing of time last."""
    waiting_from: int = 0
    rules: dict[str, RuleState] = {}
    meanings: dict[str, str] = {}
    """Rule -> digest of what it said. A rule that says something else begins anew."""


class Watch:
    """Rules at work."""

    def __init__(self, rules: Iterable[Rule], state: WatchState | None = None, since: int = 0) -> None:
        """Rules that `state` does not know, or knows otherwise, judge what comes after `since`."""
        self.rules = list(rules)
        self.state = state or WatchState(position=since, waiting_from=since)
        known, meanings = self.state.rules, self.state.meanings
        self.state.rules = {
            rule.name: known[rule.name]
            if meanings.get(rule.name) == rule.digest_of_rule and rule.name in known
            else RuleState(since=max(since, self.state.position))
            for rule in self.rules
        }
        self.state.meanings = {rule.name: rule.digest_of_rule for rule in self.rules}
        self.waiting = Waiting()
        self._looks_at_queues = any(rule.condition in ("queue_older_than", "no_runner") for rule in self.rules)

    def wants_metadata(self, seen: Seen) -> bool:
        """Whether some rule needs the metadata of this execution to judge this fact."""
        return any(rule.metadata and rule.wants(seen) for rule in self.rules)

    def recall(self, seen: Seen) -> None:
        """A fact from before the position of the state, read again to know who waits."""
        if self._looks_at_queues and seen.execution_id:
            self.waiting.take(seen)

    def take(self, seen: Seen) -> Iterator[Notice]:
        """The next fact of the log."""
        if seen.sequence <= self.state.position:
            return
        if self.state.now and seen.at - self.state.looked_at >= ADVANCE_MICROSECONDS:
            # What was due before this fact comes before it, also when nobody looked at the time.
            yield from self.advance(seen.at)
        self.recall(seen)
        for rule in self.rules:
            known = self.state.rules[rule.name]
            if seen.sequence <= known.since:
                continue
            if rule.condition:
                known.conditions.take(rule, seen)
                continue
            if seen.outcome == "succeeded":
                known.incidents.succeeded(rule, seen)
            if rule.wants(seen) and rule.fits(seen.metadata or {}):
                yield from known.incidents.outcome(rule, seen)
        self.state.position = seen.sequence
        self.state.now = max(self.state.now, seen.at)

    def passed(self, sequence: int) -> None:
        """The log up to there holds nothing further for any rule."""
        self.state.position = max(self.state.position, sequence)

    def advance(self, now: int, measured: Measured = NOTHING_MEASURED) -> Iterator[Notice]:
        """Time has passed."""
        now = self.state.now = max(self.state.now, now)
        self.state.looked_at = now
        for rule in self.rules:
            known = self.state.rules[rule.name]
            if rule.condition:
                yield from known.conditions.advance(rule, now, self.waiting, measured)
            else:
                yield from known.incidents.advance(rule, now)

    def suspects(self, now: int) -> list[str]:
        """Functions whose oldest waiting execution is old enough for a rule to ask whether they have a runner."""
        found: set[str] = set()
        for rule in self.rules:
            if rule.no_runner is not None:
                found.update(self.state.rules[rule.name].conditions.episodes)
                for function in self.waiting.by_function:
                    oldest = self.waiting.oldest(function)
                    if rule.covers(function) and oldest is not None and now - oldest[1] > rule.no_runner:
                        found.add(function)
        return sorted(found)

    def dump(self) -> bytes:
        """The state as it can be stored."""
        oldest = self.waiting.oldest_sequence
        self.state.waiting_from = self.state.position if oldest is None else min(oldest - 1, self.state.position)
        return msgspec.json.encode(self.state)


def load_state(data: bytes) -> WatchState:
    """Raises msgspec.MsgspecError for what is no such state."""
    return msgspec.json.decode(data, type=WatchState)
