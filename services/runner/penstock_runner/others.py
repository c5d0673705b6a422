"""What user code does to other executions: carried out, and told to the runner that has them at work."""

from penstock.domain.execution.commands import AnyCommand
from penstock.domain.execution.state import Execution
from penstock.handle import handle
from penstock.jetstream.inbox import Hints
from penstock.ports import Clock, Dice, ExecutionLog
from penstock_runner.activity import until_answered


class Others:
    """Commands from inside one execution to another."""

    def __init__(self, log: ExecutionLog, hints: Hints, clock: Clock, dice: Dice) -> None:
        self._log = log
        self._hints = hints
        self._clock = clock
        self._dice = dice

    async def carry_out(
        self, execution_id: str, command: AnyCommand, function: str, state: Execution | None = None
    ) -> None:
        """Append what follows from the command, however long the log is away. Raises Rejected."""
        handled = await until_answered(
            lambda: handle(self._log, execution_id, command, self._clock, self._dice, function=function, state=state)
        )
        if handled.facts and handled.state.owner:
            # It runs just now, perhaps elsewhere; its runner looks for itself only with its next heartbeat.
            await self._hints.look(handled.state.owner, execution_id)
