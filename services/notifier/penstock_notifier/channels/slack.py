"""Slack: one message per incident, kept up to date, with what happened since in its thread.

With a bot token (`chat:write`) through the Web API; an incoming webhook cannot change messages, so that each notice is
a message there.
"""

from typing import Any

import msgspec

from penstock.domain.errors import Rejected
from penstock.domain.notify.channels import Slack
from penstock.domain.notify.notice import Notice, cut
from penstock.egress.sender import Answer, Egress
from penstock.ports import Clock
from penstock_notifier.channels.webhook import ReadSecret, post, refused
from penstock_notifier.message import Message, Refused, Sent

STACK_CHARS_MAX = 900
TEXT_CHARS_MAX = 2800
"""What Slack takes in one block, with room for the marks around it; what is escaped is longer than what was there."""
UNCHANGEABLE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"})
"""Errors of `chat.update` after which a new message has to say it."""


class SlackSender:
    """One channel in Slack."""

    def __init__(self, channel: Slack, egress: Egress, read_secret: ReadSecret, clock: Clock) -> None:
        self._channel = channel
        self._egress = egress
        self._read_secret = read_secret
        self._clock = clock

    async def send(self, message: Message) -> Sent:
        """Raises Refused."""
        if self._channel.webhook:
            return await self._to_webhook(message)
        if message.earlier and "ts" in message.earlier and await self._update(message, message.earlier):
            where = {"channel": message.earlier["channel"], "thread_ts": message.earlier["ts"]}
            answer = await self._post({**where, **content(message)})
            return Sent("thread", {"ts": message.earlier["ts"], "channel": where["channel"], "reply": answer["ts"]})
        answer = await self._post({"channel": self._channel.channel, **content(message)})
        return Sent("message", {"ts": str(answer["ts"]), "channel": str(answer["channel"])})

    async def _update(self, message: Message, earlier: dict[str, str]) -> bool:
        """Bring the incident's message up to date; False when that message cannot be changed."""
        where = {"channel": earlier["channel"], "ts": earlier["ts"]}
        answer = await self._ask("chat.update", {**where, **content(message)})
        if answer.get("ok"):
            return True
        if answer.get("error") in UNCHANGEABLE:
            return False
        raise Refused(f"Slack: {answer.get('error')}")

    async def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._ask("chat.postMessage", {**body, "unfurl_links": False})
        if not answer.get("ok"):
            raise Refused(f"Slack: {answer.get('error')}")
        return answer

    async def _ask(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {
            "authorization": f"Bearer {self._secret(self._channel.token)}",
            "content-type": "application/json; charset=utf-8",
        }
        answer = await post(self._egress, f"{self._channel.api}/{method}", headers, msgspec.json.encode(body))
        if answer.status != 200:
            raise self._not_taken(answer)
        try:
            found: dict[str, Any] = msgspec.json.decode(answer.body or b"")
        except msgspec.DecodeError:
            raise Refused("Slack answered, and not in JSON.") from None
        return found

    async def _to_webhook(self, message: Message) -> Sent:
        url = self._secret(self._channel.webhook)
        try:
            answer = await post(
                self._egress, url, {"content-type": "application/json"}, msgspec.json.encode(content(message))
            )
        except Refused as refusal:
            # The address is the secret; complaints about it may repeat it.
            raise Refused(str(refusal).replace(url, "the incoming webhook")) from None
        if answer.status != 200:
            raise self._not_taken(answer)
        return Sent("HTTP 200")

    def _not_taken(self, answer: Answer) -> Refused:
        return refused(answer, self._clock())

    def _secret(self, source: str) -> str:
        try:
            return self._read_secret(source)
        except Rejected as error:
            raise Refused(error.detail) from None


def content(message: Message) -> dict[str, Any]:
    """Text for notifications of the client, and blocks for the message itself."""
    notice = message.notice
    blocks: list[dict[str, Any]] = [_section(f"{_sign(notice)} *{escape(cut(notice.text, 600))}*")]
    if notice.error is not None and notice.error.stack:
        blocks.append(_section(f"```{escape(notice.error.stack[-STACK_CHARS_MAX:])}```"))
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": escape(_context(message))}]})
    if notice.execution_id:
        buttons = [_button("Open, rerun or cancel", message.page)]
        if message.trace:
            buttons.append(_button("Trace", message.trace))
        blocks.append({"type": "actions", "elements": buttons})
    return {"text": escape(cut(notice.text)), "blocks": blocks}


def escape(text: str) -> str:
    """Without the three characters that Slack reads as markup, and no longer than it takes."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")[:TEXT_CHARS_MAX]


def _context(message: Message) -> str:
    notice = message.notice
    parts = [message.environment, f"rule {notice.rule}"]
    if notice.count > 1:
        parts.append(f"{notice.count} times")
    if notice.execution_id:
        parts.append(f"execution {notice.execution_id}")
    parts += [f"{key}={value}" for key, value in sorted(message.metadata.items())]
    return cut(" | ".join(parts), 1500)


def _sign(notice: Notice) -> str:
    return ":white_check_mark:" if notice.is_good else ":red_circle:"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _button(text: str, url: str) -> dict[str, Any]:
    return {"type": "button", "text": {"type": "plain_text", "text": text}, "url": url}
