"""Reading the body of a request, as far as it is within its limit."""

from collections.abc import Mapping
from typing import Any

from litestar.types import Receive

from penstock.domain.errors import Rejected
from penstock.domain.limits import request_bytes_max


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limit: int = request_bytes_max) -> bytes:
    """The whole body. Raises Rejected `payload_too_large` as soon as it is over the limit, announced or not."""
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    message: Any = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int) -> Rejected:
    return Rejected("payload_too_large", f"This address takes at most {limit} bytes.", limit=limit)
