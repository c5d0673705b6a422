"""Signatures of outgoing requests, as Standard Webhooks describes them (https://www.standardwebhooks.com)."""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

from penstock.domain.errors import Rejected
from penstock.domain.limits import signing_secret_bytes_max, signing_secret_bytes_min
from penstock.wire.names import WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP

_PREFIX = "whsec_"


def parse_secrets(text: str, where: str) -> list[Webhook]:
    """Secrets separated by white space: with more than one, during a change, each signs.

    `where` says where they were read. Raises Rejected `invalid_option`, which never repeats what was read.
    """
    found = [_key(word) for word in text.split()]
    if not found or None in found:
        raise Rejected(
            "invalid_option",
            f"{where} must hold a signing secret: {_PREFIX} and the base64 of {signing_secret_bytes_min} to "
            f"{signing_secret_bytes_max} random bytes, such as `openssl rand -base64 32` prints.",
        )
    return [Webhook(key) for key in found if key is not None]


def signed_headers(secrets: Sequence[Webhook], message_id: str, body: bytes, now: int) -> dict[str, str]:
    """The three headers for exactly this body, at `now` (seconds since the epoch)."""
    text = body.decode()
    # The library takes the fields of a datetime for UTC, whatever its zone.
    at = datetime.fromtimestamp(now, tz=UTC)
    return {
        WEBHOOK_ID: message_id,
        WEBHOOK_TIMESTAMP: str(now),
        WEBHOOK_SIGNATURE: " ".join(secret.sign(message_id, at, text) for secret in secrets),
    }


def _key(word: str) -> bytes | None:
    """The bytes of one secret, or None if it is none."""
    try:
        key = base64.b64decode(word.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if signing_secret_bytes_min <= len(key) <= signing_secret_bytes_max else None
