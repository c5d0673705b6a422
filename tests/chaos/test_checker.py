"""The checker of chaos finds each kind of damage that it is there for."""

from collections.abc import Callable

import pytest
from msgspec import Raw

from chaos.checker import History, Trigger, check
from penstock.domain.execution import facts as f
from penstock.domain.system import EventFannedOut
from penstock.wire.codec import encode_fact, encode_system_fact
from penstock.wire.names import Names

NAMES = Names("dev")
ID = "0" * 32
GOOD: tuple[f.AnyFact, ...] = (
    f.Enqueued(n=1, at=1, function="stepped", args=Raw(b'["k1"]'), trace_id=ID),
    f.Started(n=2, at=2, activation=1, attempt=1, runner="r"),
    f.StepCompleted(n=3, at=3, attempt=1, step="one", started_at=2),
    f.Succeeded(n=4, at=4, attempt=1),
)
TRIGGER = Trigger("http", "stepped", "k1", ids=[ID], accepted=True)


def history(*facts: f.AnyFact, fanned_out: int = 1) -> History:
    """A log of one execution and one event."""
    entries = [(NAMES.fact_subject(ID, "stepped", "fact"), encode_fact(fact)) for fact in facts]
    event = encode_system_fact(EventFannedOut(at=5, sequence=1, event_id="e", name="chaos.happened"))
    entries += [(NAMES.system_subject("event_fanned_out", "1"), event)] * fanned_out
    found = History(NAMES)
    found.add((number, subject, data) for number, (subject, data) in enumerate(entries, 1))
    return found


def complaints(found: History, trigger: Trigger = TRIGGER, computed_at: int = 2) -> list[str]:
    effect = {"execution": ID, "attempt": 1, "what": "step one", "at": computed_at}
    return check(found, [trigger], [effect], 1, set())


def test_a_sound_log_raises_no_complaint() -> None:
    """Else the rest would prove nothing."""
    assert complaints(history(*GOOD)) == []


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda: complaints(history(*GOOD[:3])), "stuck in running"),
        (lambda: complaints(history(*GOOD, GOOD[3])), "after the final state"),
        (lambda: complaints(history(GOOD[0], *GOOD[2:])), "has the number"),
        (lambda: complaints(history(GOOD[0], GOOD[0], *GOOD[1:])), "enqueued as fact 2"),
        (lambda: complaints(history(*GOOD[:2], GOOD[1], *GOOD[2:])), "while r has it"),
        (lambda: complaints(history(*GOOD[:3], *GOOD[2:])), "completed twice"),
        (lambda: complaints(history(*GOOD), computed_at=10_000), "after attempt 1 had completed it"),
        (lambda: complaints(history(*GOOD), Trigger("http", "stepped", "k2", accepted=True)), "made 0 executions"),
        (lambda: complaints(history(*GOOD), Trigger("http", "stepped", "k1", ids=[ID, "1"])), "different executions"),
        (lambda: complaints(history(*GOOD, fanned_out=0)), "fanned out 0 times"),
        (lambda: complaints(history(*GOOD, fanned_out=2)), "fanned out 2 times"),
    ],
)  # fmt: skip
def test_damage_is_found(damage: Callable[[], list[str]], complaint: str) -> None:
    """Each kind by a sentence of its own."""
    assert any(complaint in each for each in damage())
