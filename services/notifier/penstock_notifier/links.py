"""Where more can be read about an execution, and what may be told of it."""

from typing import Any

from msgspec import Raw

from penstock.domain.execution.facts import Enqueued
from penstock.domain.execution.state import Execution

ARGUMENTS_BYTES_MAX = 8 * 1024
"""Larger arguments are left out: the page has them."""


class Links:
    """Addresses under which more can be read about an execution."""

    def __init__(self, page_url: str, trace_url: str) -> None:
        self._page_url = page_url.rstrip("/")
        self._trace_url = trace_url

    def page(self, execution_id: str) -> str:
        """The page of the execution: its facts, its error, and the button that runs it again."""
        return f"{self._page_url}/executions/{execution_id}"

    def trace(self, trace_id: str) -> str:
        """Its trace, if a viewer is known."""
        return self._trace_url.replace("{trace_id}", trace_id)

    def of(self, state: Execution) -> dict[str, str]:
        """Name -> address."""
        links = {"execution": self.page(state.id)}
        if self._trace_url:
            links["trace"] = self.trace(state.trace_id)
        return links


def arguments_of(first: Enqueued) -> dict[str, Any] | None:
    """The arguments as they were given; None where they are too large to travel."""
    if first.arguments_ref is not None:
        return None
    event = first.event if first.event is not None else Raw(b"")
    if len(bytes(first.args)) + len(bytes(first.kwargs)) + len(bytes(event)) > ARGUMENTS_BYTES_MAX:
        return None
    told: dict[str, Any] = {"args": first.args, "kwargs": first.kwargs}
    return {**told, "event": first.event} if first.event is not None else told
