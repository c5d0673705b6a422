"""Following a whole stream from a position: an ephemeral consumer that is made anew wherever it broke off."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

import nats.js.errors
import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from penstock.jetstream.connect import Connection
from penstock.jetstream.pull import ConsumerGone, Metadata, Pull, parse_reply
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
    subjects = [subject] if subject is not None else []
    async with aclosing(follow_messages(connection, stream, after, subjects)) as source:
        async for batch in source:
            yield [LogEntry(meta.stream_sequence, message.subject, message.data) for meta, message in batch]


async def follow_messages(
    connection: Connection, stream: str, after: int, subjects: Sequence[str]
) -> AsyncGenerator[list[tuple[Metadata, Msg]], None]:
    """The same as whole messages, on any of some subjects; without subjects on all."""
    position = after
    while True:
        try:
            pull = await _open(connection, stream, position, subjects)
        except (NatsError, nats.js.errors.Error, OSError) as error:
            logger.debug("follow_retry", stream=stream, error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
            continue
        try:
            async for batch in _read(pull):
                position = batch[-1][0].stream_sequence
                yield batch
        finally:
            await pull.close()


async def _open(connection: Connection, stream: str, position: int, subjects: Sequence[str]) -> Pull:
    start = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
    if position:
        start = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=position + 1)
    if len(subjects) == 1:
        start.filter_subject = subjects[0]
    elif subjects:
        start.filter_subjects = list(subjects)
    start.ack_policy = AckPolicy.NONE
    start.mem_storage = True
    start.num_replicas = 1
    start.inactive_threshold = IDLE_SECONDS
    info = await connection.js.add_consumer(stream, start)
    pull = Pull(connection, stream, info.name)
    await pull.open()
    return pull


async def _read(pull: Pull) -> AsyncIterator[list[tuple[Metadata, Msg]]]:
    """Batches until the consumer is gone or skipped something: then the caller starts anew from its position."""
    expected = 1
    while True:
        if pull.ordered < BATCH // 2:
            await pull.order(BATCH)
        try:
            await pull.wait(5.0)
        except ConsumerGone:
            return
        batch: list[tuple[Metadata, Msg]] = []
        for message in pull.drain(BATCH):
            meta = parse_reply(message.reply)
            if meta.consumer_sequence != expected:
                logger.warning("follow_gap", expected=expected, found=meta.consumer_sequence)
                if batch:
                    yield batch
                return
            expected += 1
            batch.append((meta, message))
        if batch:
            yield batch
