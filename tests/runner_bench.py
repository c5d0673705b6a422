"""What tests do with a runner: enqueue as the doors do, wait for a state, read facts and lines."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uuid_utils
from msgspec import Raw

from penstock.domain.execution.commands import Enqueue, WakeUp
from penstock.domain.execution.create import Origin, enqueued
from penstock.domain.execution.facts import AnyFact
from penstock.domain.execution.state import Execution
from penstock.domain.function.options import CallOptions, resolve
from penstock.domain.trace import NOTHING_CARRIED, Carried
from penstock.handle import fold_recorded, handle
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.ports import Recorded
from penstock.service.lifecycle import Runtime, system_clock
from penstock.wire.names import Names

DEADLINE_SECONDS = 20.0

HERE = Path(__file__).parent / "services" / "runner"

StartRunner = Callable[..., Awaitable[Runtime]]


def runner_environment() -> dict[str, str]:
    """For a runner in a process of its own: it finds the apps of these tests, and the same sources as we."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}


class Bench:
    """What tests do with a runner: enqueue, wait for a state, read facts."""

    def __init__(self, connection: Connection, names: Names, log: JetStreamLog) -> None:
        self.connection = connection
        self.names = names
        self.log = log

    async def enqueue(
        self,
        function: str,
        *args: Any,
        options: dict[str, Any] | None = None,
        event: Any = None,
        execution_id: str = "",
        carried: Carried = NOTHING_CARRIED,
        policy: str = "",
        **kwargs: Any,
    ) -> str:
        """A new execution as the doors make it."""
        execution_id = execution_id or uuid_utils.uuid7().hex
        now = system_clock()
        resolved = resolve(msgspec.convert(options or {}, CallOptions), now)
        body = Raw(msgspec.json.encode(event)) if event is not None else None
        origin = Origin(carried=carried, event=body)
        json_args, json_kwargs = Raw(msgspec.json.encode(args)), Raw(msgspec.json.encode(kwargs))
        fact = enqueued(execution_id, function, json_args, json_kwargs, resolved, now, origin)
        fact = msgspec.structs.replace(fact, policy=policy)
        await handle(self.log, execution_id, Enqueue(fact=fact), system_clock, lambda: 0.5, function=function)
        return execution_id

    async def facts(self, execution_id: str) -> list[AnyFact]:
        return [entry.fact for entry in await self.log.find(execution_id)]  # type: ignore[misc]

    async def kinds(self, execution_id: str) -> list[str]:
        return [type(fact).__name__ for fact in await self.facts(execution_id)]

    async def until(self, execution_id: str, done: Callable[[Execution], bool]) -> Execution:
        """The execution once `done` says so; fails after a deadline, showing the facts."""
        recorded: list[Recorded] = []
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while True:
                    recorded = await self.log.find(execution_id)
                    state = fold_recorded(recorded)
                    if state is not None and done(state):
                        return state
                    await asyncio.sleep(0.01)
        except TimeoutError:
            pytest.fail(f"not in time; facts so far: {[entry.fact for entry in recorded]}")

    async def final(self, execution_id: str) -> Execution:
        return await self.until(execution_id, lambda state: state.is_final)

    async def result(self, execution_id: str) -> Any:
        """The inline result of one that succeeded."""
        state = await self.final(execution_id)
        assert state.state == "succeeded", state.error
        fact = (await self.facts(execution_id))[-1]
        return msgspec.json.decode(fact.result)  # type: ignore[union-attr]

    async def due(self, execution_id: str) -> None:
        """Do what a scheduler does when a retry's wake-up fires."""
        state = await self.until(execution_id, lambda state: state.wakes_at is not None)
        assert state.wakes_at is not None
        at = state.wakes_at
        await handle(self.log, execution_id, WakeUp(), lambda: max(at, system_clock()), lambda: 0.5)

    async def lines(self, execution_id: str, attempt: int, count: int) -> list[dict[str, Any]]:
        """The stored lines of an attempt, once there are as many."""
        subscription = await self.connection.js.subscribe(
            self.names.log_subject(execution_id, attempt), stream=self.names.logs, ordered_consumer=True
        )
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(found) < count:
                message = await subscription.next_msg(timeout=DEADLINE_SECONDS)
                batch = msgspec.json.decode(message.data)
                assert batch["trace_id"] == getattr((await self.facts(execution_id))[0], "trace_id", None)
                found += batch["lines"]
        await subscription.unsubscribe()
        return found
