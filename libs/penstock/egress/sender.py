"""`Egress`: one POST to an address outside, from the signed body to a bounded answer."""

import asyncio
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import httpcore2

from penstock.domain.function.target import shown_url
from penstock.egress.addresses import parse_allowed
from penstock.egress.guard import EgressRefused, GuardedBackend, Resolve, resolve

__all__ = ["Answer", "Egress", "EgressFailed", "EgressRefused"]

CONNECT_SECONDS = 10.0
KEEP_SECONDS = 2.0
"""Idle connections are kept for less time than any usual server keeps them: one that it closed would fail a request."""
CONNECTIONS_MAX = 500


class Answer(NamedTuple):
    """What came back. Names of headers are in lower case; `body` is None when it is larger than was asked for."""

    status: int
    headers: dict[str, str]
    body: bytes | None


class EgressFailed(Exception):  # noqa: N818 - it reads as a claim
    """There was no answer: `kind` names the cause, `is_timeout` tells whether it was only late."""

    def __init__(self, kind: str, sentence: str, *, is_timeout: bool = False) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.is_timeout = is_timeout


class Egress:
    """The way out of one process. No redirect is followed, and no proxy is taken from the environment."""

    def __init__(self, allow: str, resolve: Resolve = resolve) -> None:
        """`allow` is the setting. Raises Rejected `invalid_option`."""
        self._backend = GuardedBackend(parse_allowed(allow), resolve)
        self._opening = asyncio.Lock()
        self._pool: httpcore2.AsyncConnectionPool | None = None

    async def open(self) -> None:
        """Read the certificates now instead of at the first request: it takes a while."""
        await self._opened()

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.aclose()

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, answer_bytes_max: int
    ) -> Answer:
        """Send the body and read the whole answer. Cancelling it aborts the request.

        Raises EgressRefused for a forbidden address, EgressFailed where there is no answer within `seconds`.
        """
        host = urlsplit(url).netloc.rpartition("@")[2]
        sent = {"host": host, "user-agent": "penstock", "accept-encoding": "identity", **headers}
        timeouts = {"connect": min(CONNECT_SECONDS, seconds), "read": seconds, "write": seconds, "pool": seconds}
        pool = await self._opened()
        started = time.monotonic()
        try:
            async with (
                asyncio.timeout(seconds),
                pool.stream(
                    "POST", url, headers=[*sent.items()], content=body, extensions={"timeout": timeouts}
                ) as response,
            ):
                found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                return Answer(response.status, found, await _read(response, found, answer_bytes_max))
        except httpcore2.ConnectTimeout:
            sentence = f"{shown_url(url)} could not be connected to within {time.monotonic() - started:.3g} seconds."
            raise EgressFailed("ConnectTimeout", sentence) from None
        except (TimeoutError, httpcore2.TimeoutException):
            sentence = f"{shown_url(url)} did not answer within {seconds:g} seconds."
            raise EgressFailed("Timeout", sentence, is_timeout=True) from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            raise EgressFailed(type(error).__name__, f"{shown_url(url)} did not answer: {error}.") from None

    async def _opened(self) -> httpcore2.AsyncConnectionPool:
        async with self._opening:
            if self._pool is None:
                # Certificates take a while to read.
                context = await asyncio.to_thread(httpcore2.default_ssl_context)
                self._pool = httpcore2.AsyncConnectionPool(
                    ssl_context=context,
                    max_connections=CONNECTIONS_MAX,
                    keepalive_expiry=KEEP_SECONDS,
                    network_backend=self._backend,
                )
            return self._pool


async def _read(response: httpcore2.Response, headers: Mapping[str, str], limit: int) -> bytes | None:
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        return None
    body = bytearray()
    async for part in response.aiter_stream():
        body += part
        if len(body) > limit:
            return None
    return bytes(body)
