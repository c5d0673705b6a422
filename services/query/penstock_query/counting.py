"""Counts what the projector folds anyway, so that metrics cost neither a read nor anybody's time on the way."""

from collections.abc import Mapping

from penstock.domain.execution import facts as f
from penstock.domain.execution.state import Execution
from penstock.domain.schedule.facts import Ticked
from penstock.domain.system import NotificationDue, NotificationFailed, NotificationSent
from penstock.telemetry import names as t
from penstock.telemetry.metrics import Meter
from penstock_query.fold import Batch, Changes, Known

WANTED_MAX = 20_000
"""Executions that are due and not started whose time is remembered; that of others counts from their making."""
SECOND = 1_000_000


class Counting:
    """Told of each batch once it is in the view."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._wanted: dict[str, int] = {}
        """Execution -> when it was to start, while it waits for that."""

    def take(self, batch: Batch, known: Mapping[str, Known], changes: Changes) -> None:
        """`known` are executions before the batch."""
        planned: dict[str, int] = {}
        attempts: dict[str, int] = {}
        for _, execution_id, fact in batch.facts:
            after = changes.touched.get(execution_id)
            if after is None:
                continue  # it went to quarantine
            before = known.get(execution_id)
            if isinstance(fact, f.Enqueued | f.Rescheduled) and fact.run_at is not None:
                planned[execution_id] = fact.run_at
            elif isinstance(fact, f.Due):
                at = planned.get(execution_id) or (before.state.scheduled_at if before is not None else None)
                if not after.state.is_final and at is not None and len(self._wanted) < WANTED_MAX:
                    self._wanted[execution_id] = at
            attempt = attempts.get(execution_id) or (before.state.attempt if before is not None else 0)
            self._fact(fact, after.state, attempt, planned.get(execution_id))
            if isinstance(fact, f.Started):
                attempts[execution_id] = fact.attempt
        self._others(batch)

    def _fact(self, fact: f.AnyFact | f.Unknown, state: Execution, attempt: int, planned: int | None) -> None:
        function = state.function
        match fact:
            case f.Enqueued():
                self._meter.count(t.EXECUTIONS_CREATED, function)
            case f.Started() if fact.attempt > attempt:
                self._meter.count(t.ATTEMPTS_STARTED, function)
                due = self._wanted.pop(state.id, planned)
                if attempt == 0:
                    wanted = max(state.created_at, due or 0)
                    self._meter.observe(t.START_DELAY, max(0.0, (fact.at - wanted) / SECOND), function)
            case f.RetryScheduled():
                self._meter.count(t.ATTEMPTS_REPEATED, function, "failed")
            case f.AttemptLost():
                self._meter.count(t.ATTEMPTS_REPEATED, function, "drained" if fact.reason == "drained" else "lost")
            case f.Succeeded() | f.Failed() | f.Cancelled() | f.Discarded():
                self._wanted.pop(state.id, None)
                self._meter.count(t.EXECUTIONS_FINISHED, function, str(state.state))
                if state.started_at is not None:
                    self._meter.observe(t.DURATION, max(0.0, (fact.at - state.started_at) / SECOND), function)

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
