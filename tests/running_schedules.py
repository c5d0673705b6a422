"""Schedules as their users see them: ingest over HTTP, schedulers that can be killed, and the ledger in the log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from penstock.domain.execution import commands as c
from penstock.domain.schedule import facts as f
from penstock.handle import handle
from penstock.jetstream.connect import Connection
from penstock.jetstream.feed import Feed
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.registry import FunctionRegistry
from penstock.jetstream.schedules import ScheduleLog
from penstock.service.lifecycle import Runtime
from penstock.service.settings import Settings
from penstock.wire.codec import decode_schedule_fact
from penstock_scheduler.app import service
from running_ingest import Ingest
from sample_facts import now


@dataclass
class Stage:
    """Ingest, and what is in the log."""

    ingest: Ingest
    url: str
    schedules: ScheduleLog = field(init=False)

    def __post_init__(self) -> None:
        self.schedules = ScheduleLog(self.ingest.runtime.log)

    async def put(self, key: str, **body: object) -> dict[str, object]:
        response = await self.ingest.http.put(f"/v1/schedules/{key}", json={"function": "anything", **body})
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def ticks(self, key: str) -> list[f.LedgerEntry]:
        """The ledger, oldest first."""
        names, log = self.ingest.names, self.ingest.runtime.log
        stored = await log.reader.subject(names.executions, names.schedule_subject(key, "tick"))
        facts = [decode_schedule_fact(message.data) for message in stored]
        return [entry for fact in facts if isinstance(fact, f.Ticked) for entry in fact.entries]

    async def fired(self, key: str) -> list[f.LedgerEntry]:
        return [entry for entry in await self.ticks(key) if entry.outcome in ("fired", "late")]

    async def at_least(self, key: str, count: int) -> list[f.LedgerEntry]:
        """The fired ticks when there are so many; else nothing yet."""
        found = await self.fired(key)
        return found if len(found) >= count else []

    async def finish(self, execution_id: str) -> None:
        """Run it, as a runner does."""
        log = self.ingest.runtime.log
        for command in (c.Start(activation=1, runner="r"), c.Succeed(activation=1, result=b"null")):  # type: ignore[arg-type]
            await handle(log, execution_id, command, now, lambda: 0.0, function="anything")

    @asynccontextmanager
    async def scheduler(self) -> AsyncIterator[Connection]:
        """One more copy of the service; closing its connection is as good as killing it."""
        names = self.ingest.names
        connection = Connection("scheduler")
        await connection.open(self.url)
        log = JetStreamLog(connection, names)
        registry = FunctionRegistry(connection, names, log)
        runtime = Runtime(Settings(env=names.environment), names, {"scheduler": connection}, log, registry, Feed(log))
        async with service.open(runtime):
            yield connection
            runtime.stopping.set()
        await runtime.finish()
        await runtime.feed.close()
        await connection.close()


async def killed(connection: Connection) -> None:
    """From now on it reaches nobody."""
    await connection.nc.close()
    await asyncio.sleep(0)
