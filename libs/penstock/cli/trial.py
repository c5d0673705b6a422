"""A rule on trial: the recorded log read by the same rules that work live, with nothing sent and nothing stored."""

import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import msgspec

from penstock.domain import durations
from penstock.domain.errors import Rejected
from penstock.domain.notify.notice import Notice
from penstock.domain.notify.rules import MEASURED, Rule
from penstock.domain.notify.watch import Watch
from penstock.handle import load
from penstock.jetstream.access import OPERATOR
from penstock.jetstream.log import JetStreamLog
from penstock.service.access import open_connection, read_passwords
from penstock.service.notify_config import config_path, load_config
from penstock.service.settings import Settings
from penstock.wire.cloudevents import instant
from penstock.wire.glimpse import glimpse
from penstock.wire.names import Names


async def try_rule(settings: Settings, name: str, since: str) -> dict[str, Any]:
    """What the rule would have told since then. Raises Rejected, StartRefused and Unavailable."""
    rule, now = find_rule(settings, name), time.time_ns() // 1000
    start = start_of(since, now)
    names = Names(settings.env)
    async with AsyncExitStack() as stack:
        connection = await open_connection(stack, settings, read_passwords(settings), OPERATOR, "trial")
        log = JetStreamLog(connection, names)
        stack.push_async_callback(log.close)
        told, facts = await told_by(rule, log, names, start, now)
    return {"rule": name, "channels": rule.channels, "facts": facts, "data": [_shown(each) for each in told]}


async def told_by(rule: Rule, log: JetStreamLog, names: Names, start: int, now: int) -> tuple[list[Notice], int]:
    """The notices of the rule over the facts from `start` to `now`, and how many facts these were."""
    watch, facts = Watch([rule]), 0
    told: list[Notice] = []
    end = await log.last_sequence()
    if end:
        async for batch in log.follow(0):
            for sequence, subject, data in batch:
                seen = glimpse(names, sequence, subject, data)
                if seen is None or not start <= seen.at <= now:
                    continue
                facts += 1
                if watch.wants_metadata(seen):
                    state = await load(log, seen.execution_id, seen.function)
                    seen = msgspec.structs.replace(seen, metadata=state.metadata if state is not None else {})
                told += watch.take(seen)
            if batch[-1].sequence >= end:
                break
    told += watch.advance(now)
    return told, facts


def start_of(since: str, now: int) -> int:
    """Microseconds of an instant, or of so long ago. Raises Rejected `invalid_option`."""
    try:
        return now - durations.microseconds(since, "--since")
    except Rejected:
        pass
    try:
        given = datetime.fromisoformat(since)
    except ValueError:
        raise Rejected("invalid_option", f"--since is a duration (7d) or an instant, not {since[:80]!r}.") from None
    return int((given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def find_rule(settings: Settings, name: str) -> Rule:
    """The rule of the file with this name, if it can be tried. Raises Rejected."""
    rules = {rule.name: rule for rule in load_config(settings).rules}
    if name not in rules:
        known = ", ".join(sorted(rules)) or "none"
        raise Rejected("invalid_option", f"{config_path(settings)} has no rule {name[:80]!r}. There are: {known}.")
    rule = rules[name]
    if rule.condition in MEASURED:
        raise Rejected(
            "invalid_option",
            f"Rule {name} is about {rule.condition}, which is measured while the notifier runs and is not in the log.",
        )
    return rule


def _shown(notice: Notice) -> dict[str, Any]:
    return {
        "id": notice.id,
        "about": notice.about,
        "at": instant(notice.at),
        "text": notice.text,
        "function": notice.function or None,
        "schedule": notice.schedule or None,
        "execution_id": notice.execution_id or None,
        "incident": notice.incident or None,
        "count": notice.count,
        "over": notice.over,
    }
