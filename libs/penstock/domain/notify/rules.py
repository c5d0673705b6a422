"""A rule: which facts are told to which channels. Exactly one kind of thing each: outcomes, or one condition."""

from fnmatch import fnmatchcase

import msgspec

from penstock.domain.ids import content_hash
from penstock.domain.notify.seen import Seen, outcome_error

CONDITIONS = ("failure_rate", "queue_older_than", "schedule_silent", "no_runner", "view_lag")
MEASURED = ("no_runner", "view_lag")
"""Conditions that are measured while the notifier runs and do not stand in the log."""

MINUTE = 60_000_000


class FailureRate(msgspec.Struct, frozen=True, kw_only=True):
    """More than `above` (0 to 1) of the executions that ended `within` a time failed, of at least `at_least`."""

    above: float
    within: int
    at_least: int = 10


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule. Times are microseconds.

    An outcome rule with `group` makes incidents: the first occurrence is told at once, the further ones in a digest at
    most every `digest` (never, if `first_of_group`), and `recovered` when the function has succeeded again and nothing
    of the kind has come for `quiet`.
    """

    name: str
    channels: list[str]
    on: list[str] = []
    functions: list[str]
    codes: list[str] = []
    metadata: dict[str, list[str]] = {}
    group: bool = True
    first_of_group: bool = False
    digest: int = 15 * MINUTE
    quiet: int = 5 * MINUTE
    failure_rate: FailureRate | None = None
    queue_older_than: int | None = None
    schedule_silent: int | None = None
    no_runner: int | None = None
    view_lag: int | None = None

    @property
    def condition(self) -> str:
        """The condition that it is about; empty for a rule about outcomes."""
        return next((name for name in CONDITIONS if getattr(self, name) is not None), "")

    @property
    def digest_of_rule(self) -> str:
        """Changes with the meaning of the rule, but not with the channels that are told."""
        return content_hash(msgspec.json.encode(msgspec.structs.replace(self, channels=[]), order="sorted"))

    def covers(self, function: str) -> bool:
        """Whether one of its patterns fits the function."""
        return any(fnmatchcase(function, pattern) for pattern in self.functions)

    def wants(self, seen: Seen) -> bool:
        """Whether it is about this outcome (metadata aside)."""
        if seen.outcome not in self.on or not self.covers(seen.function):
            return False
        error = outcome_error(seen)
        return not self.codes or (error is not None and error.code in self.codes)

    def fits(self, metadata: dict[str, str]) -> bool:
        """Whether an execution with this metadata is meant: AND across keys, OR inside one."""
        return all(metadata.get(key) in values for key, values in self.metadata.items())
