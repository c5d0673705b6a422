"""What the agenda says of a gated execution: it needs an admission again after a delay, a retry and a loss."""

from penstock.domain.execution import facts as f
from penstock.ports import LogEntry
from penstock.wire.codec import encode_fact
from penstock.wire.names import Names
from penstock_scheduler.agenda import Agenda

NAMES = Names("test")
ONE = "1" * 32


def agenda_of(*facts: f.AnyFact) -> Agenda:
    agenda = Agenda(NAMES)
    subject = NAMES.fact_subject(ONE, "f", "fact")
    agenda.take([LogEntry(index, subject, encode_fact(each)) for index, each in enumerate(facts, 1)])
    return agenda


def enqueued(is_gated: bool, run_at: int | None = None) -> f.Enqueued:
    return f.Enqueued(n=1, at=0, function="f", trace_id=ONE, gated=is_gated, run_at=run_at)


def started(n: int, attempt: int = 1) -> f.Started:
    return f.Started(n=n, at=0, activation=n - 1, attempt=attempt, runner="r1")


def gated(agenda: Agenda) -> bool | None:
    """What the agenda says; None where the history has to be read."""
    state = agenda.entries[ONE].as_execution()
    return state.gated if state is not None else None


def retried(n: int) -> f.RetryScheduled:
    return f.RetryScheduled(n=n, at=0, attempt=1, error=f.ErrorInfo(code="user_error"), retry_at=9)


def test_a_gated_execution_with_a_delay_is_known_to_be_gated() -> None:
    """Its `due` must queue for admission, and not open an activation."""
    for is_gated in (True, False):
        assert gated(agenda_of(enqueued(is_gated, run_at=5))) is is_gated


def test_a_retry_of_a_gated_execution_is_known_to_be_gated() -> None:
    """Its admission says so, whether or not it had a delay."""
    admitted = f.Admitted(n=2, at=0)
    for first in (enqueued(True), enqueued(True, run_at=5)):
        assert gated(agenda_of(first, admitted, started(3), retried(4))) is True
    assert gated(agenda_of(enqueued(False), started(2), retried(3))) is False


def test_after_a_lost_attempt_it_is_never_taken_for_an_ungated_one() -> None:
    """A lost attempt keeps its slot, so that no second admission tells it: then its history is read."""
    lost = f.AttemptLost(n=4, at=0, attempt=1, activation=2, runner="r1")
    facts = (enqueued(True), f.Admitted(n=2, at=0), started(3), lost, f.Due(n=5, at=0), started(6, 2), retried(7))
    assert gated(agenda_of(*facts)) is not False


def test_what_could_not_be_woken_is_given_once_more() -> None:
    """At the time that is asked for, and once."""
    agenda = agenda_of(enqueued(False, run_at=5))
    (entry,) = agenda.due(5, 10)
    assert agenda.due(9, 10) == []
    agenda.again(entry, 8)
    assert agenda.due(7, 10) == []
    assert (agenda.due(9, 10), agenda.due(9, 10)) == ([entry], [])


def test_what_must_not_start_late_is_given_at_that_time() -> None:
    """Apart from what has to be woken, and only while it has not started."""
    first = f.Enqueued(n=1, at=0, function="f", trace_id=ONE, discard_at=5)
    waiting, at_work = agenda_of(first), agenda_of(first, started(2))
    assert (waiting.due(9, 10), waiting.due_discards(4, 10)) == ([], [])
    assert [each.execution_id for each in waiting.due_discards(5, 10)] == [ONE]
    assert at_work.due_discards(9, 10) == []
