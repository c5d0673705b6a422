"""One notice on its way to one channel: its state from its facts, and when it is tried again.

All facts of a delivery stand on one subject, each expecting the one before: of two copies that tried at once, the log
keeps the word of one.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from penstock.domain.notify.notice import Notice
from penstock.domain.system import (
    AnySystemFact,
    NotificationDue,
    NotificationFailed,
    NotificationReplayed,
    NotificationSent,
)

SECOND = 1_000_000
TIMETABLE = tuple(
    seconds * SECOND for seconds in (0, 5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)
"""The pause before each attempt, after the one before it failed, as Standard Webhooks recommends it."""
ATTEMPTS_MAX = len(TIMETABLE)
JITTER = 0.1
"""Pauses are up to so much longer, so that what failed together does not come back together."""
RETRY_AFTER_MAX = 24 * 3600 * SECOND


class Attempt(msgspec.Struct, frozen=True):
    """One try; `detail` is what the receiver said."""

    at: int
    ok: bool
    detail: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """State: `due` (not tried yet), `retrying`, `sent`, or `dead` (not tried any more, unless it is replayed).

    `tries` counts since it became due or was replayed last.
    """

    channel: str
    notice: Notice
    state: str
    sequence: int
    due_sequence: int
    due_at: int
    updated_at: int
    next_at: int | None = None
    tries: int = 0
    attempts: list[Attempt] = []
    receipt: dict[str, str] = {}
    """What the channel needs to change the message later."""
    begun_at: int = 0
    """When it became due, or was replayed last."""

    @property
    def tries_before(self) -> int:
        """How many there were before it was replayed."""
        return len(self.attempts) - self.tries

    @property
    def is_open(self) -> bool:
        return self.next_at is not None


def evolve(state: Delivery | None, fact: AnySystemFact, sequence: int) -> Delivery | None:
    """The delivery after one more fact; only `notification_due` may come first."""
    if isinstance(fact, NotificationDue):
        return state or Delivery(
            channel=fact.channel, notice=fact.notice, state="due", sequence=sequence, due_sequence=sequence,
            due_at=fact.at, updated_at=fact.at, next_at=fact.at, begun_at=fact.at,
        )  # fmt: skip
    if state is None:
        return None
    change = msgspec.structs.replace
    state = change(state, sequence=sequence, updated_at=fact.at)
    match fact:
        case NotificationSent():
            attempts = [*state.attempts, Attempt(fact.at, True, fact.detail)]
            return change(
                state, state="sent", next_at=None, tries=state.tries + 1, attempts=attempts, receipt=fact.receipt
            )
        case NotificationFailed():
            attempts = [*state.attempts, Attempt(fact.at, False, fact.detail)]
            word = "dead" if fact.next_at is None else "retrying"
            return change(state, state=word, next_at=fact.next_at, tries=state.tries + 1, attempts=attempts)
        case NotificationReplayed():
            return change(state, state="due", next_at=fact.at, tries=0, begun_at=fact.at)
        case _:
            return state


def fold(history: Iterable[tuple[int, AnySystemFact]]) -> Delivery | None:
    """The delivery after (sequence, fact) pairs in log order."""
    state: Delivery | None = None
    for sequence, fact in history:
        state = evolve(state, fact, sequence)
    return state


class Refusal(NamedTuple):
    """A try that failed: `gone` when the receiver wants nothing more, `after` when it said how long to wait."""

    detail: str
    gone: bool = False
    after: int | None = None


def failed(state: Delivery, refusal: Refusal, now: int, dice: float) -> NotificationFailed:
    """The fact about a failed try, with the time of the next one. `dice` is a number in [0, 1)."""
    tries = state.tries + 1
    next_at = None
    if not refusal.gone and tries < ATTEMPTS_MAX:
        pause = TIMETABLE[tries]
        wanted = min(refusal.after or 0, RETRY_AFTER_MAX)
        next_at = now + max(wanted, int(pause * (1 + JITTER * dice)))
    return NotificationFailed(at=now, detail=refusal.detail, next_at=next_at)
