"""Copies of the notifier's post office on one environment, with a clock that a test can move."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from eventually import eventually
from penstock.domain.execution import facts as f
from penstock.domain.notify.delivery import Delivery
from penstock.jetstream.connect import Connection
from penstock.jetstream.feed import Feed
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.notices import NoticeLog
from penstock.jetstream.registry import FunctionRegistry
from penstock.ports import Append
from penstock.service.lifecycle import Runtime
from penstock.service.settings import Settings
from penstock.wire.names import Names
from penstock_notifier.links import Links
from penstock_notifier.post_office import telling
from sample_facts import FUNCTION, new_id, now

BOOM = f.ErrorInfo(code="user_error", type="ValueError", message="boom", stack="Traceback: <boom> & more")
SECRET = "whsec_" + "c2VjcmV0" * 5
OTHER_SECRET = "whsec_" + "b3RoZXIx" * 5


class Office:
    """One environment, its log, and the copies that a test starts."""

    def __init__(self, connection: Connection, names: Names, log: JetStreamLog, data: Path) -> None:
        self.connection = connection
        self.names = names
        self.log = log
        self.notices = NoticeLog(log)
        self.data = data
        self.ahead = 0
        self.settings: dict[str, Any] = {"egress_allow": "127.0.0.1", "trace_url": "http://jaeger/{trace_id}"}
        self._copies: list[tuple[Runtime, AsyncExitStack]] = []

    def configure(self, text: str) -> None:
        (self.data / "notify.toml").write_text(text)

    def clock(self) -> int:
        return now() + self.ahead

    async def open(self, begins: bool = True) -> Runtime:
        """Start a copy, and wait until its rules are at work."""
        log = JetStreamLog(self.connection, self.names)
        runtime = Runtime(
            settings=Settings(data_dir=str(self.data), public_url="https://pen.example", **self.settings),
            names=self.names,
            connections={"notifier": self.connection},
            log=log,
            registry=FunctionRegistry(self.connection, self.names, log),
            feed=Feed(log),
            clock=self.clock,
            dice=lambda: 0.0,
        )
        stack = AsyncExitStack()
        links = Links(runtime.settings.page_url, runtime.settings.trace_url)
        await stack.enter_async_context(telling(runtime, "notifier", links))
        self._copies.append((runtime, stack))
        if begins:
            await eventually(self._has_begun)
        return runtime

    async def _has_begun(self) -> bool:
        subject = self.names.position_subject("notify")
        return await self.log.reader.last(self.names.positions_stream, subject) is not None

    async def close(self, runtime: Runtime, kill: bool = False) -> None:
        """Stop a copy in good order, or at once wherever it is."""
        stack = next(stack for each, stack in self._copies if each is runtime)
        self._copies = [each for each in self._copies if each[0] is not runtime]
        if kill:
            await runtime.finish()
            # As if the process were gone: its lease lapses when it would have.
            await self.log.publisher.publish(self.names.lease_subject("lead-notify"), b"", {"KV-Operation": "DEL"})
        runtime.stopping.set()
        await stack.aclose()
        await runtime.finish()
        await runtime.feed.close()

    async def close_all(self) -> None:
        for runtime, _ in list(self._copies):
            await self.close(runtime)

    async def end(self, kind: str = "failed", execution_id: str = "", **fields: Any) -> str:
        """One execution from its beginning to its end."""
        execution_id, at = execution_id or new_id(), self.clock()
        last: f.AnyFact = f.Succeeded(n=3, at=at, attempt=1)
        if kind == "failed":
            last = f.Failed(n=3, at=at, attempt=1, error=fields.pop("error", BOOM))
        facts = [
            f.Enqueued(n=1, at=at, function=FUNCTION, trace_id=execution_id, **fields),
            f.Started(n=2, at=at, activation=1, attempt=1, runner="r1"),
            last,
        ]
        await self.log.append(Append(execution_id=execution_id, function=FUNCTION, facts=facts, expected=0))
        return execution_id

    async def delivery(self, channel: str, notification: str, state: str) -> Delivery:
        """The delivery when it is in this state."""

        async def look() -> Delivery | None:
            found = await self.notices.read(channel, notification)
            return found if found is not None and found.state == state else None

        found = await eventually(look)
        assert found is not None
        return found
