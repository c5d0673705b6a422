"""Following changes over HTTP: a connection that is lost is made anew, and goes on after the last change."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2
import msgspec

from penstock.client.errors import PenstockError
from penstock.client.http import check
from penstock.wire.sse import LAST_EVENT_ID, ServerEventParser

SILENCE_SECONDS = 45.0
"""The service says something every 15 seconds; what is silent for so long is gone."""
PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 1.0


class Change(NamedTuple):
    """One change. `event` is created, state, attempt, progress, final or skipped; `execution` is as it was after it.

    `sequence` is where to go on. With `skipped` there is no execution: changes before `sequence` were left out.
    """

    event: str
    sequence: str
    execution: dict[str, Any]


async def changes(
    http: httpx2.AsyncClient, url: str, headers: dict[str, str], params: dict[str, str], after: str
) -> AsyncIterator[Change]:
    """Changes after the position, or from now on if it is empty."""
    parser = ServerEventParser(after)
    heard = time.monotonic()
    while True:
        try:
            sent = {**headers, LAST_EVENT_ID: parser.last_id} if parser.last_id else headers
            timeout = httpx2.Timeout(10.0, read=SILENCE_SECONDS)
            async with http.stream("GET", f"{url}/v1/stream", params=params, headers=sent, timeout=timeout) as response:
                await _accepted(response)
                async for chunk in response.aiter_bytes():
                    heard = time.monotonic()
                    for event in parser.feed(chunk):
                        data = msgspec.json.decode(event.data, type=dict[str, Any])
                        yield Change(event.event, event.id, {} if event.event == "skipped" else data)
        except httpx2.HTTPError as error:
            if time.monotonic() - heard > PATIENCE_SECONDS:
                detail = f"Penstock does not answer at {url} ({type(error).__name__})."
                raise PenstockError("unavailable", detail) from error
        parser = ServerEventParser(parser.last_id)
        await asyncio.sleep(PAUSE_SECONDS)


async def _accepted(response: httpx2.Response) -> None:
    """Nothing for a stream; the error of a refusal. One that may pass is an HTTPError."""
    if response.status_code == 200:
        return
    await response.aread()
    if response.status_code >= 500:
        raise httpx2.RemoteProtocolError(f"HTTP {response.status_code}")
    check(response)
