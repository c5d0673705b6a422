"""Opening connections as the right user: one for each service, or on an external server all as that of the URL."""

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack

from penstock.jetstream.access import PASSWORDS_FILE
from penstock.jetstream.connect import Connection
from penstock.jetstream.refused import StartRefused
from penstock.jetstream.server import HOST
from penstock.service.settings import Settings


def read_passwords(settings: Settings) -> dict[str, str]:
    """User -> password; empty where all log in as the URL says. Raises StartRefused when there are none."""
    if settings.nats_url:
        pairs = (each.partition("=") for each in settings.nats_passwords.split(",") if each)
        return {user.strip(): password.strip() for user, _, password in pairs}
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
    """A connection that closes with the stack. Raises Unavailable, and StartRefused without the user's password."""
    connection = Connection(name)
    if passwords and user not in passwords:
        raise StartRefused(
            "no_password",
            f"PENSTOCK_NATS_PASSWORDS says nothing of the user {user!r}.",
            f"Add {user}=..., with the password that the NATS server has for it.",
        )
    if settings.nats_url and passwords:
        await connection.open(settings.nats_url, user=user, password=passwords[user])
    elif settings.nats_url:
        await connection.open(settings.nats_url, credentials=settings.nats_credentials or None)
    else:
        await connection.open(f"nats://{HOST}:{settings.nats_port}", user=user, password=passwords[user])
    stack.push_async_callback(connection.close)
    return connection
