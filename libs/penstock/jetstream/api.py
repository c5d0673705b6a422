"""Requests to the JetStream API in the server's own JSON, for what nats-py does not cover."""

from typing import Any

import msgspec
from nats.errors import Error as NatsError

from penstock.jetstream.connect import Connection
from penstock.ports import Unavailable

REQUEST_SECONDS = 10.0

STREAM_UNKNOWN = 10059
STREAM_EXISTS = 10058
"""Same name, other settings."""


class ApiRefused(Exception):  # noqa: N818 - it reads as a claim
    """JetStream answered a request with an error; `code` is its own number for it."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} (NATS error {code})")
        self.code = code


async def request(
    connection: Connection, subject: str, body: dict[str, Any] | None = None, timeout: float = REQUEST_SECONDS
) -> dict[str, Any]:
    """One request and its answer. Raises ApiRefused or Unavailable."""
    try:
        answer = await connection.nc.request(subject, msgspec.json.encode(body) if body else b"", timeout=timeout)
    except (NatsError, OSError) as error:
        reason = connection.problem or str(error) or type(error).__name__
        raise Unavailable(f"JetStream does not answer {subject}: {reason}. Is JetStream enabled there?") from None
    decoded: dict[str, Any] = msgspec.json.decode(answer.data)
    if "error" in decoded:
        refusal = decoded["error"]
        raise ApiRefused(refusal.get("err_code", 0), refusal.get("description", "refused"))
    return decoded
