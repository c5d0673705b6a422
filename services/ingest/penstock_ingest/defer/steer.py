"""Cancelling and moving executions by Defer's rules: what the state forbids is told in its words."""

from collections.abc import Sequence
from typing import NamedTuple

from penstock.defer.attempts import Attempt, attempts_of
from penstock.defer.errors import cannot_cancel, cannot_find_execution, cannot_reschedule
from penstock.defer.ids import Address, parse_id
from penstock.defer.shapes import ExecutionShape, attempt_shape, execution_shape
from penstock.defer.states import FINAL, DeferState, state_of
from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import AnyCommand, RequestCancel, Reschedule
from penstock.domain.execution.facts import Rescheduled
from penstock.domain.execution.state import Execution
from penstock.handle import Handled, fold_recorded
from penstock.ports import ExecutionLog, Recorded, Timers
from penstock.wire.names import START_WAIT
from penstock_ingest.steering import Steering


class Found(NamedTuple):
    """What an id means, as the log has it now: an execution, and one of its attempts if the id names one."""

    execution: Execution
    attempt: Attempt | None = None
    is_last: bool = True

    @property
    def state(self) -> DeferState:
        return state_of(self.execution) if self.attempt is None else self.attempt.state

    @property
    def shape(self) -> ExecutionShape:
        if self.attempt is None:
            return execution_shape(self.execution)
        return attempt_shape(self.execution, self.attempt)


class Cancelled(NamedTuple):
    """`was_stopping`: somebody had asked for it before."""

    shape: ExecutionShape
    was_stopping: bool


class Steerer:
    """Reads what there is, decides by the word for its state, and lets the log decide again."""

    def __init__(self, log: ExecutionLog, steering: Steering, timers: Timers) -> None:
        self._log = log
        self._steering = steering
        self._timers = timers

    async def find(self, text: str) -> Found:
        """What this id means. Raises Rejected `unknown_execution`."""
        address = parse_id(text)
        if address is None:
            raise unknown(text)
        return found_in(await self._log.find(address.execution_id), address, text)

    async def cancel(self, text: str, *, force: bool) -> Cancelled:
        """Cancel what has not started; with `force` stop what has. Raises Rejected, `wrong_state` among others."""
        found = await self.find(text)
        if not found.is_last or found.state in FINAL or (found.state != "created" and not force):
            raise Rejected("wrong_state", cannot_cancel(found.state))
        attempts_max = None
        if not force:
            attempts_max = found.attempt.number - 1 if found.attempt is not None else 0
        handled = await self._carried_out(text, found, RequestCancel(force=force, attempts_max=attempts_max))
        if handled is None:
            raise Rejected("wrong_state", cannot_cancel((await self.find(text)).state))
        await self._steering.tell(handled)
        after = await self._after(text, found, handled)
        if not handled.facts and (after.state in FINAL or not force):
            # Somebody else was first.
            raise Rejected("wrong_state", cannot_cancel(after.state))
        return Cancelled(after.shape, was_stopping=found.state == "aborting" or not handled.facts)

    async def reschedule(self, text: str, run_at: int | None) -> ExecutionShape:
        """Move the start of what has not started (None: to now). Raises Rejected, `wrong_state` among others."""
        found = await self.find(text)
        if not found.is_last or found.execution.has_started or found.state != "created":
            raise Rejected("wrong_state", cannot_reschedule(found.state))
        handled = await self._carried_out(text, found, Reschedule(run_at=run_at, or_discard=True))
        if handled is None:
            raise Rejected("wrong_state", cannot_reschedule((await self.find(text)).state))
        for fact in handled.facts:
            if isinstance(fact, Rescheduled):
                await self._timers.set(handled.state.id, START_WAIT, fact.run_at)
        return (await self._after(text, found, handled)).shape

    async def _carried_out(self, text: str, found: Found, command: AnyCommand) -> Handled | None:
        """None where the state has changed meanwhile and forbids it. Raises Rejected for all else."""
        try:
            return await self._steering.carry_out(found.execution.id, command)
        except Rejected as refusal:
            if refusal.code == "wrong_state":
                return None
            raise unknown(text) if refusal.code == "unknown_execution" else refusal from None

    async def _after(self, text: str, found: Found, handled: Handled) -> Found:
        return Found(handled.state) if found.attempt is None else await self.find(text)


def found_in(recorded: Sequence[Recorded], address: Address, text: str) -> Found:
    """The same in the facts of the execution. Raises Rejected `unknown_execution`."""
    execution = fold_recorded(recorded)
    if execution is None:
        raise unknown(text)
    if address.attempt is None:
        return Found(execution)
    attempts = attempts_of(each.fact for each in recorded)
    for attempt in attempts:
        if attempt.number == address.attempt:
            return Found(execution, attempt, attempt is attempts[-1])
    raise unknown(text)


def unknown(text: str) -> Rejected:
    return Rejected("unknown_execution", cannot_find_execution(text))
