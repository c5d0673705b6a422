"""Histories as Defer's clients meet them, and a query service that the tests of a module share."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Raw

from penstock.domain.execution import facts as f
from penstock.jetstream.connect import Connection
from penstock.jetstream.provision import provision
from penstock.jetstream.server import EmbeddedServer
from penstock.wire.names import Names
from services_query_api import Api, open_api

V1, V2 = "/public/v1/executions", "/public/v2/executions"
AT = 1_700_000_000_123_456
"""2023-11-14T22:13:20.123Z"""
SECOND = 1_000_000
BOOM = f.ErrorInfo(code="user_error", type="ValueError", message="boom", stack="Traceback: boom")

CREATED = (f.Enqueued(n=1, at=AT, function="work", trace_id="t", args=Raw(b"[1,[2]]")),)
STARTED = (*CREATED, f.Started(n=2, at=AT + SECOND, activation=1, attempt=1, runner="r1"))
ABORTING = (*STARTED, f.CancelRequested(n=3, at=AT + 2 * SECOND, force=True))
RETRYING = (
    *STARTED,
    f.RetryScheduled(n=3, at=AT + 2 * SECOND, attempt=1, error=BOOM, retry_at=AT + 60 * SECOND),
)
AGAIN = (
    *RETRYING,
    f.Due(n=4, at=AT + 60 * SECOND),
    f.Started(n=5, at=AT + 61 * SECOND, activation=4, attempt=2, runner="r2"),
)


def ended(before: Sequence[f.AnyFact], fact: type[Any], **fields: Any) -> tuple[f.AnyFact, ...]:
    """With a final fact."""
    return (*before, fact(n=len(before) + 1, at=AT + 90 * SECOND, **fields))


def succeeded(result: bytes = b"3") -> tuple[f.AnyFact, ...]:
    return ended(STARTED, f.Succeeded, attempt=1, result=Raw(result))


FAILED = ended(STARTED, f.Failed, attempt=1, error=BOOM)
CANCELLED = ended(CREATED, f.Cancelled)
ABORTED = ended(ABORTING, f.Cancelled)
DISCARDED = ended(CREATED, f.Discarded)
AT_LAST = ended(AGAIN, f.Succeeded, attempt=2, result=Raw(b'"at last"'))

HISTORIES = {
    "created": CREATED,
    "started": STARTED,
    "aborting": ABORTING,
    "succeed": succeeded(),
    "failed": FAILED,
    "cancelled": CANCELLED,
    "aborted": ABORTED,
    "discarded": DISCARDED,
}


@asynccontextmanager
async def shared_api(server: EmbeddedServer, data: Path, database_url: str) -> AsyncIterator[Api]:
    """The running service in an environment of its own."""
    async with AsyncExitStack() as stack:
        names = Names(f"t-{uuid.uuid4().hex[:12]}")
        connection = Connection("test")
        await connection.open(server.url)
        stack.push_async_callback(connection.close)
        await provision(connection, names)
        yield await open_api(stack, server, names, data, database_url)
