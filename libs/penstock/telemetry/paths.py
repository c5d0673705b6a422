"""Paths of spans that others than the maker of spans must know, to put something below them."""

from penstock.domain.ids import span_id


def step_path(attempt: int, step: str, tried: int) -> tuple[str, ...]:
    """One try of a step: known before it runs, so that spans of user code nest below it."""
    path = ("attempt", str(attempt), "step", step)
    return path if tried == 1 else (*path, "try", str(tried))


def notify_span(execution_id: str) -> str:
    """Id of the span of the notification on NATS about an end."""
    return span_id(execution_id, "notify")


def delivery_span(owner: str, channel: str, notification: str, replays_from: int) -> str:
    """Id of the span of a delivery. `owner` is the execution, or the notification itself if it is about none;
    `replays_from` is how many tries there were before it was replayed.
    """
    path = ("notify", channel, notification)
    return span_id(owner, *path) if not replays_from else span_id(owner, *path, "replay", str(replays_from))
