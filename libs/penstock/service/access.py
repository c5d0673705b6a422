"""Opening connections as the right user: those of the embedded server, or the one of PENSTOCK_NATS_URL."""

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack

from penstock.jetstream.access import PASSWORDS_FILE
from penstock.jetstream.connect import Connection
from penstock.jetstream.refused import StartRefused
from penstock.jetstream.server import HOST
from penstock.service.settings import Settings


def read_passwords(settings: Settings) -> dict[str, str]:
    """User -> password on the embedded server; empty for an external one. Raises StartRefused when there are none."""
    if settings.nats_url:
        return {}
    path = settings.data_path / PASSWORDS_FILE
    try:
        known: dict[str, str] = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise StartRefused(
            "no_server",
            f"No NATS server has been started in {settings.data_path}.",
            "Start `penstock up` there, or set PENSTOCK_NATS_URL to a server of your own.",
        ) from None
    except (OSError, ValueError) as error:
        raise StartRefused("passwords_unreadable", f"{path} cannot be read ({error}).", "Restore it.") from None
    return known


async def open_connection(
    stack: AsyncExitStack, settings: Settings, passwords: Mapping[str, str], user: str, name: str
) -> Connection:
    """A connection that closes with the stack. Raises Unavailable."""
    connection = Connection(name)
    if settings.nats_url:
        await connection.open(settings.nats_url, credentials=settings.nats_credentials or None)
    else:
        await connection.open(f"nats://{HOST}:{settings.nats_port}", user=user, password=passwords[user])
    stack.push_async_callback(connection.close)
    return connection
