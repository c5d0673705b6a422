"""Carries out commands about executions, and tells the runner where the execution runs meanwhile."""

from collections.abc import Sequence
from typing import Protocol

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import AnyCommand
from penstock.domain.execution.state import Execution
from penstock.handle import Handled, handle, handle_all, handle_known, load
from penstock.ports import Clock, Dice, ExecutionLog


class RunnerHints(Protocol):
    """Lets a live runner know that the log has news of one of its executions."""

    async def look(self, runner: str, execution_id: str) -> None: ...


class Carrier:
    """What the scheduler appends to executions of others goes through here."""

    def __init__(self, log: ExecutionLog, hints: RunnerHints, clock: Clock, dice: Dice) -> None:
        self._log = log
        self._hints = hints
        self._clock = clock
        self._dice = dice

    async def load(self, execution_id: str, function: str) -> Execution | None:
        """The execution as the log has it now. Raises Unavailable."""
        return await load(self._log, execution_id, function)

    async def carry_out(
        self, execution_id: str, command: AnyCommand, function: str | None = None, state: Execution | None = None
    ) -> Handled:
        """Raises Rejected and Unavailable."""
        handled = await handle(
            self._log, execution_id, command, self._clock, self._dice, function=function, state=state
        )  # fmt: skip
        await self._tell(handled)
        return handled

    async def carry_out_known(self, states: Sequence[Execution], command: AnyCommand) -> list[bool]:
        """One command for many executions that nobody runs: true where that is done, `carry_out` the others."""
        return await handle_known(self._log, states, command, self._clock, self._dice)

    async def carry_out_all(
        self, execution_id: str, commands: Sequence[AnyCommand], function: str | None = None
    ) -> list[Handled | Rejected]:
        """The same for several commands at once, with one verdict each. Raises Unavailable."""
        verdicts = await handle_all(self._log, execution_id, commands, self._clock, self._dice, function=function)
        for verdict in verdicts:
            if isinstance(verdict, Handled) and verdict.facts:
                await self._tell(verdict)
                break
        return verdicts

    async def _tell(self, handled: Handled) -> None:
        if handled.facts and handled.state.owner:
            # An execution that waits has no owner; this one runs, and its runner looks for itself only now and then.
            await self._hints.look(handled.state.owner, handled.state.id)
