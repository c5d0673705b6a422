"""What flow control reads of executions without admission, without decoding their facts."""

import pytest
from msgspec import Raw

from penstock.domain.execution import facts as f
from penstock.domain.flow.state import FlowState
from penstock.ports import LogEntry
from penstock.wire.codec import encode_fact
from penstock.wire.names import Names
from penstock_scheduler.admission import FlowReader

NAMES = Names()
ID = "0190a5d4c3b27e6f8a9b0c1d2e3f4a5b"
ERROR = f.ErrorInfo(code="user_error")
STARTED = f.Started(n=2, at=2, activation=1, attempt=1, runner="r")


def held(*facts: f.AnyFact) -> bool:
    """Whether the execution holds a slot after these facts."""
    reader = FlowReader(NAMES, FlowState())
    enqueued = f.Enqueued(n=1, at=1, function="f", trace_id=ID)
    for sequence, fact in enumerate((enqueued, STARTED, *facts), 1):
        kind = "run" if f.opens_activation(fact) else "end" if f.is_end(fact, False) else "fact"
        subject = NAMES.fact_subject(ID, "f", kind)  # type: ignore[arg-type]
        reader.take([LogEntry(sequence, subject, encode_fact(fact))])
    return ID in reader.state.held


@pytest.mark.parametrize(
    "fact",
    [
        f.WaitOpened(n=3, at=3, waits=[f.Wait(key="w", wait="sleep", until=9)], suspends=True),
        f.Suspended(n=3, at=3),
        f.Paused(n=3, at=3, attempt=1, error=ERROR),
        f.Compensating(n=3, at=3, outcome="failed", error=ERROR),
        f.RetryScheduled(n=3, at=3, attempt=1, error=ERROR, retry_at=9),
        f.AttemptLost(n=3, at=3, attempt=1, activation=1, runner="r"),
        f.Succeeded(n=3, at=3, attempt=1),
        f.Cancelled(n=3, at=3),
    ],
    ids=f.kind_of,
)
def test_what_sets_an_execution_aside_frees_its_slot(fact: f.AnyFact) -> None:
    """It holds it again from its next start on."""
    assert not held(fact)
    if not isinstance(fact, f.FINAL):
        assert held(fact, f.Due(n=4, at=4), f.Started(n=5, at=5, activation=4, attempt=1, runner="r"))


@pytest.mark.parametrize(
    "fact",
    [
        f.WaitOpened(n=3, at=3, waits=[f.Wait(key="w", wait="event", match={"a": Raw(b'{"suspends":true}')})]),
        f.Woken(n=3, at=3, wait="w", outcome="elapsed"),
        f.StepCompleted(n=3, at=3, attempt=1, step="suspended", started_at=2),
        f.CancelRequested(n=3, at=3),
    ],
    ids=f.kind_of,
)
def test_what_goes_on_keeps_it(fact: f.AnyFact) -> None:
    """Also when its text looks otherwise."""
    assert held(fact)
