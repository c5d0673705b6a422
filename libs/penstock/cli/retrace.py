"""The recorded log read by the same maker of spans that works live, and sent to a collector."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from typing import Any, NamedTuple

from penstock.domain import durations
from penstock.domain.errors import Rejected
from penstock.domain.ids import is_execution_id
from penstock.jetstream.access import OPERATOR
from penstock.jetstream.log import JetStreamLog
from penstock.ports import LogEntry, Unavailable
from penstock.service.access import open_connection, read_passwords
from penstock.service.settings import Settings
from penstock.telemetry import switch
from penstock.telemetry.encode import EncodedSpan
from penstock.telemetry.trails import Trails
from penstock.wire.names import Names

POSITION = re.compile(r"x:(\d{1,18})")
BATCH_SPANS = 2048


class Wanted(NamedTuple):
    """What is asked for, as it was written."""

    since: str | None
    until: str | None
    execution: str | None
    endpoint: str | None


async def retrace(settings: Settings, wanted: Wanted) -> dict[str, Any]:
    """Send, and say how much. Raises Rejected, StartRefused and Unavailable."""
    if wanted.endpoint is None and not switch.has_endpoint():
        raise Rejected(
            "invalid_option", "No collector: name one with --endpoint URL, or set OTEL_EXPORTER_OTLP_ENDPOINT."
        )
    if wanted.execution is not None and not is_execution_id(wanted.execution):
        raise Rejected("unknown_execution", f"{wanted.execution[:80]!r} is no id of an execution: 32 hex digits.")
    names = Names(settings.env)
    async with AsyncExitStack() as stack:
        connection = await open_connection(stack, settings, read_passwords(settings), OPERATOR, "retrace")
        log = JetStreamLog(connection, names)
        stack.push_async_callback(log.close)
        now = time.time_ns() // 1000
        last = await log.last_sequence()
        after = await _position(log, wanted.since, "--since", now) if wanted.since is not None else 0
        until = min(last, await _position(log, wanted.until, "--until", now)) if wanted.until is not None else last
        delivery = Delivery(names.environment, wanted.endpoint)
        stack.callback(delivery.close)
        trails = Trails(log, names, whole_after=after)
        if wanted.execution is not None:
            await _one(log, trails, delivery, wanted.execution, until)
        else:
            async for batch in _entries(log, after, until):
                await delivery.add(await trails.spans(batch))
        await delivery.flush()
    return {
        "executions": trails.executions,
        "spans": delivery.taken,
        "refused": delivery.refused,
        "endpoint": delivery.endpoint,
        "from": f"x:{after + 1}",
        "to": f"x:{until}",
    }


async def _one(log: JetStreamLog, trails: Trails, delivery: "Delivery", execution_id: str, until: int) -> None:
    """One execution with all that was told of it, wherever that stands."""
    names = log.names
    function = await log.function_of(execution_id) or "-"
    read = [await log.read_subject(subject) for subject in names.fact_subjects(execution_id, function)]
    found = sorted(entry for part in read for entry in part if entry.sequence <= until)
    if not found:
        raise Rejected("unknown_execution", f"There is no execution {execution_id}.")
    await delivery.add(await trails.spans(found))
    first = found[0].sequence
    mark = b'"' + execution_id.encode() + b'"'
    ours: set[str] = set()
    async for batch in _entries(log, first, until, names.delivery_filter()):
        ours.update(entry.subject for entry in batch if mark in entry.data)
        await delivery.add(await trails.spans([entry for entry in batch if entry.subject in ours]))


async def _entries(
    log: JetStreamLog, after: int, until: int, subject: str | None = None
) -> AsyncIterator[list[LogEntry]]:
    """Batches of the log after one position and up to another."""
    if subject is not None:
        newest = await log.reader.last(log.names.executions, subject)
        until = min(until, newest.sequence if newest is not None else 0)
    if until <= after:
        return
    async with aclosing(log.follow(after, subject)) as batches:  # type: ignore[type-var]
        async for batch in batches:
            yield [entry for entry in batch if entry.sequence <= until]
            if batch[-1].sequence >= until:
                return


async def _position(log: JetStreamLog, text: str, option: str, now: int) -> int:
    """The position before the first entry that is meant. Raises Rejected `invalid_option`."""
    given = POSITION.fullmatch(text)
    if given is not None:
        return int(given[1]) - (option == "--since")
    return await log.reader.position_at(log.names.executions, ">", _moment(text, option, now))


def _moment(text: str, option: str, now: int) -> int:
    try:
        return now - durations.microseconds(text, option)
    except Rejected:
        pass
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise Rejected(
            "invalid_option", f"{option} is a duration (2h), an instant or a position (x:42), not {text[:80]!r}."
        ) from None
    return int((given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp() * 1_000_000)


class Delivery:
    """Sends in batches and counts. What nobody takes ends it: the command can be given again."""

    def __init__(self, environment: str, endpoint: str | None) -> None:
        # Here: importing OpenTelemetry takes time that other commands should not pay.
        from penstock.telemetry.sender import SpanSender

        self._sender = SpanSender(environment, endpoint)
        self.endpoint = self._sender.endpoint
        self._waiting: list[EncodedSpan] = []
        self.taken = 0
        self.refused = 0

    async def add(self, spans: Sequence[EncodedSpan]) -> None:
        """Raises Unavailable."""
        self._waiting += spans
        while len(self._waiting) >= BATCH_SPANS:
            batch, self._waiting = self._waiting[:BATCH_SPANS], self._waiting[BATCH_SPANS:]
            await self._send(batch)

    async def flush(self) -> None:
        """Raises Unavailable."""
        if self._waiting:
            batch, self._waiting = self._waiting, []
            await self._send(batch)

    def close(self) -> None:
        self._sender.close()

    async def _send(self, batch: list[EncodedSpan]) -> None:
        from penstock.telemetry.sender import Verdict, well_formed

        verdict = await asyncio.to_thread(self._sender.send, batch)
        taken: int | None = len(batch) if verdict is Verdict.TAKEN else None
        if verdict is Verdict.REFUSED:
            taken = await asyncio.to_thread(well_formed, self._sender.send, batch)
        if taken is None:
            raise Unavailable(
                f"The collector at {self.endpoint} does not take spans ({self._sender.problem}). Sent: {self.taken}."
            )
        self.taken += taken
        self.refused += len(batch) - taken
