"""The manners of the doors that imitate Defer: Basic or Bearer, and JSON errors of `error` and `message`."""

import base64
import binascii

import msgspec

from penstock.defer.errors import refusal
from penstock.service.dialect import IsKey, Knock, is_bearer
from penstock.service.problems import Answer, Trouble


class DeferDialect:
    """All of `/public/`, whatever is there or not: Defer's clients decode every answer as JSON."""

    prefix = "/public/"

    def admits(self, knock: Knock, is_key: IsKey) -> bool:
        """The key is the password of Basic, whoever the user is; clients send an empty name."""
        given = knock.authorization
        return is_bearer(given, is_key) or is_key(_password(given))

    def word(self, trouble: Trouble, path: str) -> Answer:
        status, body = refusal(trouble.code, trouble.detail, trouble.sentence)
        headers = dict(trouble.headers)
        if status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="penstock"'
        if status == 503:
            headers["Retry-After"] = "1"
        return Answer(status, msgspec.json.encode(body), headers)


def _password(header: bytes) -> bytes:
    """What stands behind the first colon of Basic credentials; empty, which is nobody's key, for anything else."""
    scheme, _, credentials = header.partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        return b""


DEFER = DeferDialect()
