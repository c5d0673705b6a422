"""Rules at work on facts made up in a test, with a clock that the test moves."""

from typing import Any

from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.notify.conditions import Measured
from penstock.domain.notify.config import parse_config
from penstock.domain.notify.notice import Notice
from penstock.domain.notify.rules import Rule
from penstock.domain.notify.seen import Seen
from penstock.domain.notify.watch import Watch, WatchState

SECOND = 1_000_000
MINUTE = 60 * SECOND
BEGIN = 1_800_000_000 * SECOND
BOOM = ErrorInfo(code="user_error", type="ValueError", message="boom 17", stack="")

CHANNEL = {"type": "webhook", "url": "https://example.com", "secrets": ["env:S"]}


def rule(name: str = "r", **options: Any) -> Rule:
    """A rule as it would be read from the file."""
    tables = {"channels": {"ops": CHANNEL}, "rules": {name: {"channels": ["ops"], **options}}}
    return parse_config(tables).rules[0]


class World:
    """A log, and rules over it."""

    def __init__(self, *rules: Rule, state: WatchState | None = None) -> None:
        self.watch = Watch(rules, state)
        self.now = BEGIN
        self.log: list[Seen] = []
        self.told: list[Notice] = []

    def fact(self, kind: str, execution_id: str = "", function: str = "add", **fields: Any) -> list[Notice]:
        """The next fact of the log; answers with what is told because of it."""
        number = len(self.log) + 1
        seen = Seen(
            sequence=number, kind=kind, at=self.now, n=number, execution_id=execution_id or f"{number:032x}",
            function=function, **fields,
        )  # fmt: skip
        self.log.append(seen)
        return self._tell(list(self.watch.take(seen)))

    def fail(self, **fields: Any) -> list[Notice]:
        fields.setdefault("error", BOOM)
        return self.fact("failed", attempt=1, **fields)

    def schedule(self, key: str, wakes_at: int | None) -> list[Notice]:
        number = len(self.log) + 1
        seen = Seen(sequence=number, kind="tick", at=self.now, schedule=key, wakes_at=wakes_at)
        self.log.append(seen)
        return self._tell(list(self.watch.take(seen)))

    def after(self, time: int, measured: Measured | None = None) -> list[Notice]:
        """What is told when so much time has passed."""
        self.now += time
        return self._tell(list(self.watch.advance(self.now, measured or Measured())))

    def _tell(self, notices: list[Notice]) -> list[Notice]:
        self.told += notices
        return notices


def abouts(notices: list[Notice]) -> list[str]:
    return [each.about for each in notices]
