"""One connection to NATS: refused at once with a sentence, never giving up afterwards, and never publishing late."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import structlog
from nats.js import JetStreamContext

import nats
from penstock.jetstream.lean import LeanClient
from penstock.ports import Unavailable

logger = structlog.get_logger("penstock")


class Connection:
    """A nats client with its JetStream context. `problem` is a sentence while it is not usable, else None."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nc = LeanClient()
        self.js: JetStreamContext = self.nc.jetstream()
        self.problem: str | None = "not connected yet"
        self.reconnected: list[Callable[[], None]] = []
        """Called after each reconnect: whoever has a request under way asks again."""
        self._connecting: asyncio.Task[None] | None = None
        self._login_refused = False

    async def open(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        credentials: str | None = None,
    ) -> None:
        """Connect. Raises Unavailable at once when nothing listens or the login is refused."""
        # nats-py writes a traceback for every failed try; we report through our own callbacks.
        logging.getLogger("nats").setLevel(logging.CRITICAL)
        servers = [each.strip() if "://" in each else f"nats://{each.strip()}" for each in url.split(",")]
        where = await _answering(servers)
        inbox = f"_INBOX_{user}" if user else "_INBOX"
        if user is None and credentials is None:
            # What the first URL says counts for all, also for servers that only the cluster tells us about.
            user, password = urlsplit(servers[0]).username, urlsplit(servers[0]).password
        self._login_refused = False
        client = LeanClient()
        self._connecting = asyncio.ensure_future(
            client.connect(
                servers=servers,
                name=f"penstock-{self.name}",
                user=user if password is not None else None,
                password=password,
                user_credentials=credentials,
                inbox_prefix=inbox.encode(),
                # A buffered publish would be stored long after its caller was told that it failed.
                pending_size=-1,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,  # type: ignore[arg-type]  # seconds; a fraction works
                ping_interval=5,
                max_outstanding_pings=2,
                error_cb=self._on_error,
                disconnected_cb=self._on_disconnected,
                reconnected_cb=self._on_reconnected,
                closed_cb=self._on_closed,
            )
        )
        try:
            await asyncio.wait_for(self._connecting, 15)
        except (nats.errors.Error, TimeoutError) as error:
            raise Unavailable(f"NATS at {where} refused the connection: {error}.") from None
        except asyncio.CancelledError:
            if not self._login_refused:
                raise
            raise Unavailable(
                f"NATS at {where} refused the connection: wrong user or password"
                f" ({user or 'those of the URL or credentials file'})."
            ) from None
        finally:
            self._connecting = None
        self.nc = client
        self.js = client.jetstream()
        self.problem = None

    @property
    def is_clustered(self) -> bool:
        """Whether the server is one of several, so that another may know more, or die without our line noticing."""
        return bool(self.nc._server_info.get("cluster"))

    async def close(self) -> None:
        """Close at once; whoever has work under way stops it first."""
        self.problem = "closed"
        if not self.nc.is_closed:
            await self.nc.close()

    async def _on_error(self, error: Exception) -> None:
        text = str(error)
        if self._connecting is not None and "authorization violation" in text.lower():
            # The client itself would try the same password for ever.
            self._login_refused = True
            self._connecting.cancel()
            return
        if "permissions violation" in text.lower():
            # The server answers a forbidden publish with silence; this is the only place that tells why.
            self.problem = f"NATS user lacks a permission: {text}"
            logger.error("nats_permission", connection=self.name, error=text)
        else:
            logger.warning("nats_error", connection=self.name, error=text or type(error).__name__)

    async def _on_disconnected(self) -> None:
        if self.problem is None:
            self.problem = "connection to NATS lost; reconnecting"
            logger.warning("nats_disconnected", connection=self.name)

    async def _on_reconnected(self) -> None:
        self.problem = None
        logger.warning("nats_reconnected", connection=self.name)
        for callback in self.reconnected:
            callback()

    async def _on_closed(self) -> None:
        if self.problem is None:
            self.problem = "connection to NATS closed"


async def _answering(servers: Sequence[str]) -> str:
    """The first of the servers that listens, as host and port. Raises Unavailable when none does."""
    silent = []
    for server in servers:
        parts = urlsplit(server)
        host, port = parts.hostname or "127.0.0.1", parts.port or 4222
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 5)
        except OSError as error:
            silent.append(f"{host}:{port} ({error.strerror or error or 'no answer'})")
        else:
            writer.close()
            return f"{host}:{port}"
    raise Unavailable(f"Nothing answers at NATS {', '.join(silent)}.")
