"""The guarded way out: a name is resolved once, every address is judged, and one of these very addresses is taken.

Nothing is resolved a second time, so a name that points elsewhere a moment later (DNS rebinding) changes nothing.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable

import httpcore2

from penstock.egress.addresses import SETTING, Allowed, may_reach

Resolve = Callable[[str, int], Awaitable[list[str]]]
SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class EgressRefused(Exception):  # noqa: N818 - it reads as a claim: "the way out was refused"
    """The request would reach an address that it may not reach."""


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host, in the order in which the system would try them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Makes the connections of a pool. Raises EgressRefused, or what httpcore2 raises for a connection that fails."""

    def __init__(self, allowed: Allowed, resolve: Resolve = resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"{host} was not resolved within {timeout:g} seconds") from None
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} cannot be resolved ({error})") from None
        self._judge(host, addresses)
        failure: httpcore2.NetworkError | httpcore2.TimeoutException = httpcore2.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.NetworkError, httpcore2.TimeoutException) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[SocketOption] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        raise EgressRefused("Sockets of this machine are not reached by requests that leave it.")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _judge(self, host: str, addresses: list[str]) -> None:
        """One bad address condemns the name: an honest one does not mix public and private addresses."""
        for address in addresses:
            if not may_reach(host, address, self._allowed):
                where = host if host == address else f"{host} ({address})"
                raise EgressRefused(
                    f"{where} is no public address, and requests may not reach others. "
                    f"If this one is meant, name the host or its network in {SETTING}."
                )
