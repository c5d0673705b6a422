"""Following a whole stream from a position: an ephemeral consumer that is made anew wherever it broke off."""

import asyncio
from collections.abc import AsyncIterator

import nats.js.errors
import structlog
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from penstock.jetstream.connect import Connection
from penstock.jetstream.pull import ConsumerGone, Pull, parse_reply
from penstock.ports import LogEntry

logger = structlog.get_logger("penstock")

BATCH = 1000
IDLE_SECONDS = 60.0
"""The server forgets the consumer of a follower that has gone away after so long."""
RETRY_SECONDS = 0.5


async def follow(
    connection: Connection, stream: str, after: int, subject: str | None = None
) -> AsyncIterator[list[LogEntry]]:
    """Entries after the sequence (on a subject) in batches of up to 1,000, then live, for ever."""
    position = after
    while True:
        try:
            pull = await _open(connection, stream, position, subject)
        except (NatsError, nats.js.errors.Error, OSError) as error:
            logger.debug("follow_retry", stream=stream, error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
            continue
        try:
            async for batch in _read(pull):
                position = batch[-1].sequence
                yield batch
        finally:
            await pull.close()


async def _open(connection: Connection, stream: str, position: int, subject: str | None) -> Pull:
    start = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
    if position:
        start = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=position + 1)
    start.filter_subject = subject
    start.ack_policy = AckPolicy.NONE
    start.mem_storage = True
    start.num_replicas = 1
    start.inactive_threshold = IDLE_SECONDS
    info = await connection.js.add_consumer(stream, start)
    pull = Pull(connection, stream, info.name)
    await pull.open()
    return pull


async def _read(pull: Pull) -> AsyncIterator[list[LogEntry]]:
    """Batches until the consumer is gone or skipped something: then the caller starts anew from its position."""
    expected = 1
    while True:
        if pull.ordered < BATCH // 2:
            await pull.order(BATCH)
        try:
            await pull.wait(5.0)
        except ConsumerGone:
            return
        batch: list[LogEntry] = []
        for message in pull.drain(BATCH):
            meta = parse_reply(message.reply)
            if meta.consumer_sequence != expected:
                logger.warning("follow_gap", expected=expected, found=meta.consumer_sequence)
                if batch:
                    yield batch
                return
            expected += 1
            batch.append(LogEntry(meta.stream_sequence, message.subject, message.data))
        if batch:
            yield batch
