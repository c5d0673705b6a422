"""Incidents: failures of one function with one cause, told once, then in digests, then as recovered."""

from collections.abc import Iterator

import msgspec

from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.notify.notice import Notice, cut, fingerprint, notice_id, shortened
from penstock.domain.notify.rules import Rule
from penstock.domain.notify.seen import Seen, outcome_error

IDLE_MICROSECONDS = 7 * 24 * 3600 * 1_000_000
"""An incident of which nothing was heard for so long is forgotten without a word."""
INCIDENTS_MAX = 500
"""Open incidents of one rule; the one that has been quiet longest gives way."""

WORDS = {
    "failed": "failed",
    "cancelled": "was cancelled",
    "discarded": "was discarded",
    "succeeded": "succeeded",
    "retrying": "failed and will be tried again",
    "paused": "failed and waits to be resumed",
}


class Incident(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One open incident. `told` is the count that people know of; `digest_at` is 0 while there is nothing new."""

    id: str
    function: str
    outcome: str
    error: ErrorInfo | None = None
    first_at: int
    last_at: int
    count: int = 1
    told: int = 1
    digests: int = 0
    digest_at: int = 0
    succeeded_at: int = 0
    execution_id: str = ""
    cause: str = ""
    """The execution that brought its latest occurrence. Those that followed it repeat its end, which is no news."""


class Incidents(msgspec.Struct):
    """The open incidents of one rule, by function, outcome and fingerprint."""

    open: dict[str, Incident] = {}
    now: int = 0

    def outcome(self, rule: Rule, seen: Seen) -> Iterator[Notice]:
        """An outcome that the rule is about."""
        error = shortened(outcome_error(seen))
        if not rule.group or seen.outcome == "succeeded":
            yield _single(rule, seen, error)
            return
        key = f"{seen.function} {seen.outcome} {fingerprint(outcome_error(seen))}"
        incident = self.open.get(key)
        if incident is None:
            first = _single(rule, seen, error)
            self._make_room()
            self.open[key] = Incident(
                id=first.id, function=seen.function, outcome=seen.outcome, first_at=seen.at, last_at=seen.at,
                error=ErrorInfo(code=error.code, type=error.type, message=error.message) if error else None,
                execution_id=seen.execution_id, cause=seen.leader or seen.execution_id,
            )  # fmt: skip
            yield msgspec.structs.replace(first, incident=first.id, since=seen.at)
            return
        incident.count += 1
        incident.last_at = max(incident.last_at, seen.at)
        incident.succeeded_at = 0
        if seen.leader and seen.leader == incident.cause:
            # Whoever was told of the cause knows; whoever is still to be told hears the full number.
            incident.told += not incident.digest_at
            return
        incident.execution_id, incident.cause = seen.execution_id, seen.leader or seen.execution_id
        if not incident.digest_at:
            incident.digest_at = max(self.now, seen.at) + rule.digest

    def succeeded(self, rule: Rule, seen: Seen) -> None:
        """A function that succeeds may have recovered; `advance` tells when it has been quiet for long enough."""
        if rule.covers(seen.function):
            for incident in self.open.values():
                if incident.function == seen.function and not incident.succeeded_at and seen.at >= incident.last_at:
                    incident.succeeded_at = seen.at

    def advance(self, rule: Rule, now: int) -> Iterator[Notice]:
        """Time has passed: digests that are due, and incidents that are over."""
        self.now = max(self.now, now)
        for key, incident in list(self.open.items()):
            if incident.succeeded_at and now >= incident.last_at + rule.quiet and now >= incident.succeeded_at:
                del self.open[key]
                if "recovered" in rule.on:
                    yield _recovered(rule, incident, now)
                elif incident.count > incident.told and not rule.first_of_group:
                    incident.digests += 1
                    yield _digest(rule, incident, now)
            elif incident.digest_at and now >= incident.digest_at:
                incident.digest_at = 0
                incident.digests += 1
                if not rule.first_of_group:
                    yield _digest(rule, incident, now)
                incident.told = incident.count
            elif now >= incident.last_at + IDLE_MICROSECONDS:
                del self.open[key]

    def _make_room(self) -> None:
        if len(self.open) >= INCIDENTS_MAX:
            del self.open[min(self.open, key=lambda key: self.open[key].last_at)]


def _single(rule: Rule, seen: Seen, error: ErrorInfo | None) -> Notice:
    why = f": {_reason(error)}" if error is not None else "."
    return Notice(
        id=notice_id(rule.name, seen.execution_id, str(seen.n)), rule=rule.name, about=seen.outcome, at=seen.at,
        text=f"{seen.function} {WORDS[seen.outcome]}{why}", function=seen.function,
        execution_id=seen.execution_id, attempt=seen.attempt, error=error, sequence=seen.sequence,
    )  # fmt: skip


def _digest(rule: Rule, incident: Incident, now: int) -> Notice:
    more, what = incident.count - incident.told, WORDS[incident.outcome]
    times = "once" if more == 1 else f"{more} times"
    return Notice(
        id=notice_id(rule.name, incident.id, "digest", str(incident.digests)), rule=rule.name, about="digest", at=now,
        text=f"{incident.function} {what} {times} more, {incident.count} in all: {_reason(incident.error)}",
        function=incident.function, execution_id=incident.execution_id, error=incident.error, incident=incident.id,
        count=incident.count, since=incident.first_at,
    )  # fmt: skip


def _recovered(rule: Rule, incident: Incident, now: int) -> Notice:
    times = "once" if incident.count == 1 else f"{incident.count} times"
    return Notice(
        id=notice_id(rule.name, incident.id, "recovered"), rule=rule.name, about="recovered", at=now,
        text=f"{incident.function} has recovered; it {WORDS[incident.outcome]} {times}: {_reason(incident.error)}",
        function=incident.function, execution_id=incident.execution_id, error=incident.error, incident=incident.id,
        count=incident.count, since=incident.first_at, over=True,
    )  # fmt: skip


def _reason(error: ErrorInfo | None) -> str:
    if error is None:
        return "no reason was given."
    first_line = error.message.strip().split("\n", 1)[0]
    if error.code == "user_error" and error.type:
        return cut(f"{error.type}: {first_line}")
    if error.code in WORDS:
        return cut(first_line)
    return cut(f"{error.code}: {first_line}" if first_line else error.code)
