"""Questions that one service answers to another while both are up: request and reply on core NATS."""

from collections.abc import Awaitable, Callable

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from penstock.jetstream.connect import Connection
from penstock.ports import Unavailable
from penstock.wire.names import Names

ANSWER_SECONDS = 2.0
GROUP = "schedulers"

Answerer = Callable[[bytes], Awaitable[bytes]]


class Questions:
    """Asking and answering. Nothing durable depends on it."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._connection = connection
        self._names = names

    async def ask(self, question: str, body: bytes = b"") -> bytes:
        """The answer. Raises Unavailable when nobody answers."""
        try:
            reply = await self._connection.nc.request(self._names.ask_subject(question), body, timeout=ANSWER_SECONDS)
        except (NatsError, OSError, TimeoutError) as error:
            raise Unavailable(f"no scheduler answers ({type(error).__name__})") from None
        return reply.data

    async def answer(self, question: str, answerer: Answerer) -> None:
        """Answer this question from now on, together with all who do; one of them gets each."""

        async def reply(message: Msg) -> None:
            await message.respond(await answerer(message.data))

        await self._connection.nc.subscribe(self._names.ask_subject(question), queue=GROUP, cb=reply)
        # Whoever asks from now on finds us.
        await self._connection.nc.flush()
