"""A reader of the stream of changes, for tests."""

import asyncio
from collections import deque
from typing import Any

import httpx2
import msgspec

from penstock.wire.sse import LAST_EVENT_ID, ServerEventParser
from services_query_api import Api


class StreamReader:
    """One connection to /v1/stream; entered once the service has told where it begins."""

    def __init__(self, api: Api, resume: str = "", **params: Any) -> None:
        headers = {LAST_EVENT_ID: resume} if resume else {}
        # A client of its own: leaving it closes the connection.
        self._http = httpx2.AsyncClient(
            base_url=api.client.base_url, headers=api.client.headers, timeout=30, trust_env=False
        )
        self._opened = self._http.stream("GET", "/v1/stream", params=params, headers=headers)
        self._parser = ServerEventParser()
        self._events: deque[tuple[str, str, dict[str, Any]]] = deque()

    async def __aenter__(self) -> "StreamReader":
        self.response = await self._opened.__aenter__()
        assert self.response.status_code == 200, await self.response.aread()
        self._chunks = self.response.aiter_bytes()
        self.text = b""
        while not self._parser.last_id:
            await self._read()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.__aexit__(None, None, None)
        await self._http.aclose()

    @property
    def position(self) -> str:
        """Where to go on."""
        return self._parser.last_id

    async def take(self, count: int) -> list[tuple[str, str, dict[str, Any]]]:
        """The next events as (id, event, data)."""
        async with asyncio.timeout(15):
            while len(self._events) < count:
                await self._read()
        return [self._events.popleft() for _ in range(count)]

    async def states(self, count: int) -> list[tuple[str, str]]:
        """The next events as (event, state)."""
        return [(event, data["state"]) for _, event, data in await self.take(count)]

    async def until_block(self, text: bytes) -> None:
        """Read on until these bytes have come."""
        async with asyncio.timeout(10):
            while text not in self.text:
                await self._read()

    async def until_closed(self) -> None:
        """Read to the end of the answer."""
        async with asyncio.timeout(10):
            async for chunk in self._chunks:
                self._parser.feed(chunk)

    async def _read(self) -> None:
        chunk = await anext(self._chunks)
        self.text += chunk
        for event in self._parser.feed(chunk):
            self._events.append((event.id, event.event, msgspec.json.decode(event.data)))
