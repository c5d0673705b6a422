"""Penstock: background functions on NATS JetStream. What authors of functions import."""

from typing import TYPE_CHECKING, Any

from penstock.client.errors import ExecutionFailed, PenstockError
from penstock.client.execution import Execution
from penstock.functions import waits as wait
from penstock.functions.backoff import Fixed, Linear, Quartic, Retry
from penstock.functions.context import Context
from penstock.functions.define import App, Function
from penstock.functions.errors import RetryAfter, StepFailed, StepInterrupted, Stopped, Terminal, TokenRejected
from penstock.functions.event import Event
from penstock.functions.flow import Batch, Debounce, Limit, RateLimit, Throttle

if TYPE_CHECKING:
    from penstock.client.client import Client

__all__ = [
    "App",
    "Batch",
    "Client",
    "Context",
    "Debounce",
    "Event",
    "Execution",
    "ExecutionFailed",
    "Fixed",
    "Function",
    "Limit",
    "Linear",
    "PenstockError",
    "Quartic",
    "RateLimit",
    "Retry",
    "RetryAfter",
    "StepFailed",
    "StepInterrupted",
    "Stopped",
    "Terminal",
    "Throttle",
    "TokenRejected",
    "wait",
]


def __getattr__(name: str) -> Any:
    # The HTTP client is loaded when somebody uses it: worker processes start faster without.
    if name == "Client":
        from penstock.client.client import Client

        return Client
    raise AttributeError(f"module 'penstock' has no attribute {name!r}")
