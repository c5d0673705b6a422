"""What a channel is given to send: a notice with the execution behind it and the addresses to go on from."""

from typing import Any, NamedTuple, Protocol

from penstock.domain.notify.delivery import Refusal
from penstock.domain.notify.notice import Notice
from penstock.domain.notify.seen import OUTCOMES


class Message(NamedTuple):
    """One notice on its way. `earlier` is the receipt of the message that opened the incident, if it was sent."""

    id: str
    notice: Notice
    environment: str
    page: str
    trace: str
    metadata: dict[str, str]
    arguments: dict[str, Any] | None
    earlier: dict[str, str] | None
    traceparent: str = ""
    """The span of this delivery, below which its receiver may put its own."""
    trace_id: str = ""

    @property
    def kind(self) -> str:
        """The type of the event, in words and dots."""
        notice = self.notice
        if notice.about in ("digest", "recovered"):
            return f"penstock.incident.{notice.about}"
        if notice.about in OUTCOMES:
            return f"penstock.execution.{notice.about}"
        return f"penstock.condition.{notice.about}"


class Sent(NamedTuple):
    """A channel took it. `receipt` is what it needs to change the message later."""

    detail: str
    receipt: dict[str, str] = {}


class Refused(Exception):  # noqa: N818 - it reads as a claim
    """The channel did not take it."""

    def __init__(self, detail: str, *, gone: bool = False, after: int | None = None) -> None:
        super().__init__(detail)
        self.refusal = Refusal(detail, gone, after)


class Sender(Protocol):
    """One channel. How long one try may take is its own business, but there is an end to it."""

    async def send(self, message: Message) -> Sent:
        """Raises Refused."""
