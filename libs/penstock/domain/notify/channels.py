"""Channels as they are configured: where, and by which secrets, which are only named here and never held."""

from typing import Literal

import msgspec

SECRET_SOURCES = ("env:", "file:")


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="webhook", tag_field="type"):
    """A signed POST (Standard Webhooks). Each of `secrets` signs; give two while you rotate."""

    url: str
    secrets: list[str]


class Slack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="slack", tag_field="type"):
    """Slack: a bot token and a channel (one message per incident, kept up to date), or an incoming webhook."""

    token: str = ""
    channel: str = ""
    webhook: str = ""
    api: str = "https://slack.com/api"


class Email(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="email", tag_field="type"):
    """E-mail by SMTP."""

    host: str
    sender: str = msgspec.field(name="from")
    to: list[str]
    port: int | None = None
    tls: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password: str = ""


class Apprise(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="apprise", tag_field="type"):
    """Whatever Apprise knows; its address holds secrets and is therefore one."""

    url: str


Channel = Webhook | Slack | Email | Apprise

SECRET_FIELDS: dict[type, tuple[str, ...]] = {
    Webhook: ("secrets",),
    Slack: ("token", "webhook"),
    Email: ("password",),
    Apprise: ("url",),
}
"""Fields that must name where a secret is to be found, and may not hold one."""


def secret_names(channel: Channel) -> list[tuple[str, str]]:
    """(field, source) of every secret of the channel."""
    found: list[tuple[str, str]] = []
    for field in SECRET_FIELDS[type(channel)]:
        value = getattr(channel, field)
        found.extend((field, each) for each in (value if isinstance(value, list) else [value]) if each)
    return found


def complaint(channel: Channel) -> tuple[str, str] | None:
    """(field, what is wrong with it), if something is."""
    for field, source in secret_names(channel):
        if not source.startswith(SECRET_SOURCES) or source in SECRET_SOURCES:
            return field, (
                f"names where the secret is, as 'env:NAME' or 'file:/path'; "
                f"the secret itself does not belong into {field!r}"
            )
    match channel:
        case Webhook(secrets=[]):
            return "secrets", "needs at least one secret to sign with"
        case Webhook(url=url) if not url.startswith(("https://", "http://")):
            return "url", "must begin with https:// or http://"
        case Slack(token=token, webhook=webhook) if bool(token) == bool(webhook):
            return "token", "give either a bot token and a channel, or the address of an incoming webhook"
        case Slack(token=token, channel="") if token:
            return "channel", "must name the Slack channel, such as '#alerts' or its id"
        case Email(to=[]):
            return "to", "needs at least one address"
        case _:
            return None
