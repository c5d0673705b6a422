"""Paths of spans that others than the maker of spans must know, to put something below them."""

from penstock.domain.ids import span_id


def attempt_span(execution_id: str, attempt: int) -> str:
    """Id of the span below which what an attempt does belongs."""
    return span_id(execution_id, "attempt", str(attempt))


def step_path(attempt: int, step: str, tried: int) -> tuple[str, ...]:
    """One try of a step: known before it runs, so that spans of user code nest below it."""
    path = ("attempt", str(attempt), "step", step)
    return path if tried == 1 else (*path, "try", str(tried))


def notify_span(execution_id: str) -> str:
    """Id of the span of the notification on NATS about an end."""
    return span_id(execution_id, "notify")
