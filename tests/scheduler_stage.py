"""The parts of one scheduler copy on a real server; the tests say which of its loops run."""

from dataclasses import dataclass
from typing import Any

from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.state import Execution
from penstock.handle import fold_recorded, handle
from penstock.jetstream.leases import LeaseTable
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.timers import JetStreamTimers
from penstock.ports import Append
from penstock_scheduler.agenda import Agenda
from penstock_scheduler.sweep import Sweep
from penstock_scheduler.wakeups import Waker
from sample_facts import FUNCTION, new_id, now

SECOND = 1_000_000


@dataclass
class Stage:
    """The parts of one scheduler copy; the tests say which of its loops run."""

    log: JetStreamLog
    timers: JetStreamTimers
    leases: LeaseTable
    agenda: Agenda
    waker: Waker
    sweep: Sweep

    async def create(self, execution_id: str = "", **fields: Any) -> str:
        execution_id = execution_id or new_id()
        fact = f.Enqueued(n=1, at=now(), function=FUNCTION, trace_id=execution_id, **fields)
        await self.log.append(Append(execution_id=execution_id, function=FUNCTION, facts=[fact], expected=0))
        return execution_id

    async def send(self, execution_id: str, command: c.AnyCommand) -> None:
        await handle(self.log, execution_id, command, now, lambda: 0.0, function=FUNCTION)

    async def facts(self, execution_id: str) -> list[f.AnyFact | f.Unknown]:
        return [recorded.fact for recorded in await self.log.read(execution_id, FUNCTION)]

    async def kinds(self, execution_id: str) -> list[str]:
        return [f.kind_of(fact) for fact in await self.facts(execution_id)]

    async def follow(self) -> None:
        """Bring the agenda to the end of the log."""
        target = await self.log.last_sequence()
        source = self.log.follow(self.agenda.position)
        while self.agenda.position < target:
            self.agenda.take(await anext(source))
        await source.aclose()  # type: ignore[attr-defined]

    # Durable code, as its runner would tell it.

    async def state(self, execution_id: str) -> Execution:
        state = fold_recorded(await self.log.read(execution_id, FUNCTION))
        assert state is not None
        return state

    async def start(self, execution_id: str, runner: str = "r1") -> int:
        """A runner takes the open activation; answers with its number."""
        activation = (await self.state(execution_id)).activation
        await self.send(execution_id, c.Start(activation=activation, runner=runner))
        return activation

    async def wait_for(self, execution_id: str, *waits: f.Wait, suspends: bool = True) -> None:
        """The running function waits, and with `suspends` does nothing else."""
        activation = (await self.state(execution_id)).activation
        command = c.OpenWaits(
            activation=activation, waits=list(waits), blocked=[wait.key for wait in waits], suspends=suspends
        )
        await self.send(execution_id, command)

    async def waiting(self, *waits: f.Wait, suspends: bool = True, **fields: Any) -> str:
        """An execution that has started and waits."""
        execution_id = await self.create(**fields)
        await self.start(execution_id)
        await self.wait_for(execution_id, *waits, suspends=suspends)
        return execution_id
