"""Signed webhooks as Standard Webhooks describes them: three headers, one body, 2xx or it did not arrive."""

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from penstock.domain.errors import Rejected
from penstock.domain.notify.channels import Webhook
from penstock.egress.sender import Answer, Egress, EgressFailed, EgressRefused
from penstock.egress.signing import parse_secrets, signed_headers
from penstock.ports import Clock
from penstock.wire.cloudevents import instant
from penstock.wire.names import TRACEPARENT
from penstock_notifier.message import Message, Refused, Sent

SECONDS = 20.0
ANSWER_BYTES_MAX = 64 * 1024
GONE = 410

ReadSecret = Callable[[str], str]


class WebhookSender:
    """POSTs to one address. Redirects are not followed, and addresses that are not public are refused."""

    def __init__(self, name: str, channel: Webhook, egress: Egress, read_secret: ReadSecret, clock: Clock) -> None:
        self._name = name
        self._channel = channel
        self._egress = egress
        self._read_secret = read_secret
        self._clock = clock

    async def send(self, message: Message) -> Sent:
        """Raises Refused."""
        body = body_of(message)
        now = self._clock()
        try:
            where = f"channels.{self._name}.secrets"
            secrets = parse_secrets(" ".join(map(self._read_secret, self._channel.secrets)), where)
        except Rejected as error:
            raise Refused(error.detail) from None
        headers = signed_headers(secrets, message.id, body, now // 1_000_000)
        headers |= {"content-type": "application/json", TRACEPARENT: message.traceparent}
        answer = await post(self._egress, self._channel.url, headers, body)
        if 200 <= answer.status < 300:
            return Sent(f"HTTP {answer.status}")
        raise refused(answer, now)


async def post(egress: Egress, url: str, headers: dict[str, str], body: bytes) -> Answer:
    """One request. Raises Refused when there is no answer."""
    try:
        return await egress.post(url, headers, body, seconds=SECONDS, answer_bytes_max=ANSWER_BYTES_MAX)
    except (EgressRefused, EgressFailed) as error:
        raise Refused(str(error)) from None
    except ValueError as error:
        raise Refused(f"The address is no URL that can be asked: {error}.") from None


def refused(answer: Answer, now: int) -> Refused:
    """What an answer that is no 2xx means."""
    if answer.status == GONE:
        return Refused("HTTP 410: the receiver wants nothing more.", gone=True)
    if 300 <= answer.status < 400:
        return Refused(f"HTTP {answer.status}: redirects are not followed; write the new address into the settings.")
    return Refused(f"HTTP {answer.status}", after=retry_after(answer.headers.get("retry-after", ""), now))


def retry_after(header: str, now: int) -> int | None:
    """Microseconds that the receiver asks us to wait: seconds, or a date."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return int(text[:9]) * 1_000_000
    try:
        return max(0, int(parsedate_to_datetime(text).timestamp() * 1_000_000) - now)
    except (ValueError, TypeError, OverflowError):
        return None


def body_of(message: Message) -> bytes:
    """The JSON of a notice: `type`, `timestamp` and `data`. The same notice always has the same body."""
    notice = message.notice
    data: dict[str, Any] = {
        "id": message.id,
        "rule": notice.rule,
        "environment": message.environment,
        "text": notice.text,
        "function": notice.function or None,
        "schedule": notice.schedule or None,
        "over": notice.over,
        "incident": {"id": notice.incident, "count": notice.count, "since": instant(notice.since)}
        if notice.incident
        else None,
        "execution": {
            "id": notice.execution_id,
            "attempt": notice.attempt,
            "trace_id": message.trace_id or None,
            "metadata": message.metadata,
            "links": {"execution": message.page, **({"trace": message.trace} if message.trace else {})},
        }
        if notice.execution_id
        else None,
        "error": {
            "code": notice.error.code,
            "type": notice.error.type,
            "message": notice.error.message,
            "stack": notice.error.stack,
        }
        if notice.error
        else None,
    }
    if message.arguments is not None and data["execution"] is not None:
        data["execution"]["arguments"] = message.arguments
    return msgspec.json.encode({"type": message.kind, "timestamp": instant(notice.at), "data": data})
