"""From what is configured to what sends."""

from penstock.domain.notify.channels import Apprise, Channel, Email, Slack, Webhook
from penstock.egress.sender import Egress
from penstock.ports import Clock
from penstock.service.notify_config import read_secret
from penstock_notifier.channels.webhook import WebhookSender
from penstock_notifier.message import Sender


def sender_of(name: str, channel: Channel, egress: Egress, clock: Clock) -> Sender:
    """The sender of a channel. Raises Rejected `invalid_config`."""
    # The others are imported where they are wanted: most installations use one or two of them.
    match channel:
        case Webhook():
            return WebhookSender(name, channel, egress, read_secret, clock)
        case Slack():
            from penstock_notifier.channels.slack import SlackSender

            return SlackSender(channel, egress, read_secret, clock)
        case Email():
            from penstock_notifier.channels.email import EmailSender

            return EmailSender(channel, read_secret)
        case Apprise():
            from penstock_notifier.channels.apprise import AppriseSender

            return AppriseSender(name, channel, read_secret)
