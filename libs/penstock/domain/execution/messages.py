"""The command that a message to an execution makes, checked in one place for every door. Pure."""

from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import ReceiveMessage
from penstock.domain.limits import idempotency_key_chars_max, message_bytes_max, step_name_chars_max


def message_command(body: Raw, channel: str, message_id: str) -> ReceiveMessage:
    """The message as a command. Raises Rejected `invalid_option` or `payload_too_large`."""
    if not 1 <= len(channel) <= step_name_chars_max or not channel.isprintable():
        detail = f"A channel has 1 to {step_name_chars_max} printable characters."
        raise Rejected("invalid_option", detail, pointers=[("/channel", "not a channel")])
    if not 1 <= len(message_id) <= idempotency_key_chars_max:
        detail = f"The id of a message has 1 to {idempotency_key_chars_max} characters."
        raise Rejected("invalid_option", detail, pointers=[("/id", "too short or too long")])
    check_size(body, "/body")
    return ReceiveMessage(message=message_id, channel=channel, body=body)


def check_size(value: Raw, pointer: str) -> None:
    """Raises Rejected `payload_too_large` for what is no message any more."""
    size = len(bytes(value))
    if size > message_bytes_max:
        detail = f"{pointer} has {size} bytes; at most {message_bytes_max} are taken."
        raise Rejected("payload_too_large", detail, limit=message_bytes_max)
