"""Counts what the projector folds anyway, so that metrics cost neither a read nor anybody's time on the way."""

from collections.abc import Mapping

from penstock.domain.execution import facts as f
from penstock.domain.execution.state import Execution
from penstock.domain.schedule.facts import Ticked
from penstock.domain.system import NotificationDue, NotificationFailed, NotificationSent
from penstock.telemetry import names as t
from penstock.telemetry.metrics import Meter
from penstock_query.fold import Batch, Changes, Known
from penstock_query.slices import Sliced, slices

WANTED_MAX = 20_000
"""Executions that are due and not started whose time is remembered; that of others counts from their making."""
SECOND = 1_000_000
_COUNTED = frozenset(
    {
        f.Enqueued, f.Rescheduled, f.Due, f.Started, f.RetryScheduled, f.AttemptLost, f.Succeeded, f.Failed,
        f.Cancelled, f.Discarded,
    }
)  # fmt: skip
"""Kinds that change a number."""


class Counting:
    """Told of each batch once it is in the view."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._wanted: dict[str, int] = {}
        """Execution -> when it was to start, while it waits for that."""

    def take(self, batch: Batch, known: Mapping[str, Known], changes: Changes) -> Sliced[None]:
        """`known` are executions before the batch."""
        planned: dict[str, int] = {}
        attempts: dict[str, int] = {}
        for facts in slices(batch.facts):
            for _, execution_id, fact in facts:
                if type(fact) not in _COUNTED:
                    continue
                after = changes.touched.get(execution_id)
                if after is None:
                    continue  # it went to quarantine
                before = known.get(execution_id)
                if type(fact) is f.Started:
                    attempt = attempts.get(execution_id) or (before.state.attempt if before is not None else 0)
                    attempts[execution_id] = fact.attempt
                    self._started(fact, after.state, attempt, planned.get(execution_id))
                    continue
                if (type(fact) is f.Enqueued or type(fact) is f.Rescheduled) and fact.run_at is not None:
                    planned[execution_id] = fact.run_at
                elif type(fact) is f.Due:
                    at = planned.get(execution_id) or (before.state.scheduled_at if before is not None else None)
                    if not after.state.is_final and at is not None and len(self._wanted) < WANTED_MAX:
                        self._wanted[execution_id] = at
                self._fact(fact, after.state)
            yield
        self._others(batch)

    def _started(self, fact: f.Started, state: Execution, attempt: int, planned: int | None) -> None:
        """`attempt` is the last one before."""
        if fact.attempt <= attempt:
            return
        self._meter.count(t.ATTEMPTS_STARTED, state.function)
        due = self._wanted.pop(state.id, planned)
        if attempt == 0:
            wanted = max(state.created_at, due or 0)
            self._meter.observe(t.START_DELAY, max(0.0, (fact.at - wanted) / SECOND), state.function)

    def _fact(self, fact: f.AnyFact | f.Unknown, state: Execution) -> None:
        function = state.function
        match fact:
            case f.Enqueued():
                self._meter.count(t.EXECUTIONS_CREATED, function)
            case f.Succeeded() | f.Failed() | f.Cancelled() | f.Discarded():
                self._wanted.pop(state.id, None)
                self._meter.count(t.EXECUTIONS_FINISHED, function, str(state.state))
                if state.started_at is not None:
                    self._meter.observe(t.DURATION, max(0.0, (fact.at - state.started_at) / SECOND), function)
            case f.RetryScheduled():
                self._meter.count(t.ATTEMPTS_REPEATED, function, "failed")
            case f.AttemptLost():
                self._meter.count(t.ATTEMPTS_REPEATED, function, "drained" if fact.reason == "drained" else "lost")

    def _others(self, batch: Batch) -> None:
        for row in batch.events:
            self._meter.count(t.EVENTS, row[4])
        for _, _, said in batch.schedules:
            if isinstance(said, Ticked):
                for entry in said.entries:
                    self._meter.count(t.TICKS, entry.outcome, entry.reason, by=entry.count)
        for _, key, told in batch.deliveries:
            channel = key.partition(".")[0]
            match told:
                case NotificationDue():
                    self._meter.count(t.DELIVERIES, channel, "due")
                case NotificationSent():
                    self._meter.count(t.DELIVERIES, channel, "sent")
                case NotificationFailed():
                    self._meter.count(t.DELIVERIES, channel, "dead" if told.next_at is None else "failed")
