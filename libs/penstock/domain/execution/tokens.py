"""Tokens: whoever has one may end one wait, once. Pure: the same execution and key give the same token on every replay.

A token is `pt_` and, in URL-safe base64, a truncated HMAC-SHA256, the execution's id and the key of the wait. It
holds no secret but its right, and nothing has to be stored to know it again.
"""

import base64
import binascii
import hashlib
import hmac

from penstock.domain.errors import Rejected
from penstock.domain.ids import is_execution_id
from penstock.domain.limits import token_chars_max

PREFIX = "pt_"
_PURPOSE = b"penstock token 1\x00"
_MAC_BYTES = 16
_ID_BYTES = 16


def make_token(secret: bytes, execution_id: str, key: str) -> str:
    """The token of the wait with this key in this execution."""
    content = bytes.fromhex(execution_id) + key.encode()
    signature = hmac.new(secret, _PURPOSE + content, hashlib.sha256).digest()[:_MAC_BYTES]
    return PREFIX + base64.urlsafe_b64encode(signature + content).rstrip(b"=").decode()


def read_token(secret: bytes, token: str) -> tuple[str, str]:
    """Execution id and key of the wait. Raises Rejected `unknown_token` for what was not made with `secret`."""
    try:
        execution_id, key = _parse(token)
        # Made again and compared as a whole: no second spelling of a token is one.
        genuine = hmac.compare_digest(make_token(secret, execution_id, key).encode(), token.encode())
    except ValueError:
        genuine = False
    if not genuine:
        raise Rejected("unknown_token", "This token was not made here, or not with the signing key that is in force.")
    return execution_id, key


def _parse(token: str) -> tuple[str, str]:
    """What it says, believed by nobody yet. Raises ValueError (binascii.Error and UnicodeError are such)."""
    text = token.removeprefix(PREFIX)
    if len(token) > token_chars_max or not token.startswith(PREFIX) or not text.isascii():
        raise ValueError(token[:80])
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    content = raw[_MAC_BYTES:]
    execution_id, key = content[:_ID_BYTES].hex(), content[_ID_BYTES:].decode()
    if not is_execution_id(execution_id) or not key:
        raise ValueError(token[:80])
    return execution_id, key
