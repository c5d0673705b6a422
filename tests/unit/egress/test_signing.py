"""Signatures of outgoing requests."""

import base64
import hashlib
import hmac
import time

import pytest
from standardwebhooks import Webhook

from penstock.domain.errors import Rejected
from penstock.domain.limits import signing_secret_bytes_max, signing_secret_bytes_min
from penstock.egress.signing import parse_secrets, signed_headers

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = '{"straße": "ß"}'.encode()


def test_the_signature_covers_id_time_and_body() -> None:
    """As anybody computes it with nothing but a hash function."""
    headers = signed_headers(parse_secrets(SECRET, "S"), "m1", BODY, 1_700_000_000)
    expected = hmac.new(KEY, b"m1.1700000000." + BODY, hashlib.sha256).digest()
    assert headers == {
        "webhook-id": "m1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": "v1," + base64.b64encode(expected).decode(),
    }


def test_while_secrets_change_each_of_them_verifies() -> None:
    """Receivers may switch at any moment in between."""
    other = base64.b64encode(bytes(range(1, 33))).decode()
    headers = signed_headers(parse_secrets(f"{SECRET}\n{other}\n", "S"), "m1", BODY, int(time.time()))
    for secret in (SECRET, other):
        assert Webhook(secret).verify(BODY, headers) == {"straße": "ß"}


@pytest.mark.parametrize("size", [signing_secret_bytes_min, signing_secret_bytes_max])
def test_a_secret_may_be_as_short_and_as_long_as_the_limits(size: int) -> None:
    """Both edges."""
    assert len(parse_secrets(base64.b64encode(b"x" * size).decode(), "S")) == 1


@pytest.mark.parametrize(
    "text",
    [
        *("", "   ", "hunter2-hunter2-hunter2-hunter2!", "whsec_", "whsk_AAAA"),
        base64.b64encode(b"x" * (signing_secret_bytes_min - 1)).decode(),
        base64.b64encode(b"x" * (signing_secret_bytes_max + 1)).decode(),
    ],
)
def test_what_is_no_secret_is_refused_and_not_repeated(text: str) -> None:
    """The sentence says where it was found, and how to make one."""
    with pytest.raises(Rejected, match=r"^S must hold a signing secret: .*openssl rand") as caught:
        parse_secrets(text, "S")
    assert len(text) < 8 or text not in caught.value.detail
