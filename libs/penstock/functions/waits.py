"""Descriptions of waits, for `ctx.wait_for_any`: what to wait for, said without waiting yet."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from penstock.functions.operations import Token

Duration = str | float | timedelta


class Sleep(NamedTuple):
    duration: Duration


class SleepUntil(NamedTuple):
    time: datetime


class EventWait(NamedTuple):
    name: str
    match: Mapping[str, Any] | None = None
    look_back: Duration = 0


class TokenWait(NamedTuple):
    token: Token


class MessageWait(NamedTuple):
    channel: str = "default"


class Call(NamedTuple):
    function: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


AnyWait = Sleep | SleepUntil | EventWait | TokenWait | MessageWait | Call


def sleep(duration: Duration) -> Sleep:
    """This much time."""
    return Sleep(duration)


def sleep_until(time: datetime) -> SleepUntil:
    """This moment."""
    return SleepUntil(time)


def event(name: str, match: Mapping[str, Any] | None = None, look_back: Duration = 0) -> EventWait:
    """An event, as in `ctx.wait_for_event`."""
    return EventWait(name, match, look_back)


def token(token: Token) -> TokenWait:
    """The use of a token made by `ctx.create_token`."""
    return TokenWait(token)


def message(channel: str = "default") -> MessageWait:
    """A message to this execution, as in `ctx.receive`."""
    return MessageWait(channel)


def call(function: Any, *args: Any, **kwargs: Any) -> Call:
    """The end of a child execution, as in `ctx.call`. It is cancelled when something else comes first."""
    return Call(function, args, kwargs)
