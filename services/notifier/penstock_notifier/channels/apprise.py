"""Everything that Apprise knows. It is an extra, since it brings much along that few need."""

import asyncio
import importlib
from typing import Any

from penstock.domain.errors import Rejected
from penstock.domain.notify.channels import Apprise
from penstock.domain.notify.notice import cut
from penstock_notifier.channels.email import text_of
from penstock_notifier.channels.webhook import ReadSecret
from penstock_notifier.message import Message, Refused, Sent

INSTALL = "Install it: pip install 'penstock[apprise]'."


class AppriseSender:
    """One address of Apprise."""

    def __init__(self, name: str, channel: Apprise, read_secret: ReadSecret) -> None:
        """Raises Rejected `invalid_config` where Apprise is not installed."""
        self._channel = channel
        self._read_secret = read_secret
        try:
            self._apprise: Any = importlib.import_module("apprise")
        except ImportError:
            raise Rejected("invalid_config", f"channels.{name} is for Apprise, which is missing. {INSTALL}") from None

    async def send(self, message: Message) -> Sent:
        """Raises Refused."""
        # Its requests block, and it says no more than yes or no.
        try:
            taken = await asyncio.to_thread(self._notify, message)
        except Rejected as error:
            raise Refused(error.detail) from None
        if not taken:
            raise Refused("Apprise: the address is not one that it knows, or the receiver did not take it.")
        return Sent("sent")

    def _notify(self, message: Message) -> bool:
        notice, apprise = message.notice, self._apprise
        target = apprise.Apprise()
        if not target.add(self._read_secret(self._channel.url)):
            return False
        kind = apprise.NotifyType.SUCCESS if notice.is_good else apprise.NotifyType.FAILURE
        title = cut(f"[{message.environment}] {notice.text}", 150)
        return bool(target.notify(body=text_of(message), title=title, notify_type=kind))
