"""Examples of messages on NATS; a test publishes them to a running service, or compares them with what it sends."""

from typing import Any, NamedTuple

from penstock.wire import names as wire
from penstock.wire.cloudevents import JSON, SPECVERSION, STRUCTURED


class Example(NamedTuple):
    """One message. `subject` is its last tokens: the name of the event or of the function."""

    name: str
    summary: str
    subject: str
    payload: Any
    headers: dict[str, str] = {}


TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
EXECUTION = "019d2f6b5c7e7a3f8b1c2d3e4f506172"

EVENTS = {
    "bareEvent": [
        Example("signup", "The data alone", "user.signup", {"user": "ada", "plan": "pro"}),
        Example(
            "signupOnce",
            "With a key, so that publishing it again changes nothing, and inside a trace",
            "user.signup",
            {"user": "ada", "plan": "pro"},
            {wire.IDEMPOTENCY_KEY: "signup-ada", wire.TRACEPARENT: TRACEPARENT},
        ),
    ],
    "structuredEvent": [
        Example(
            "structured",
            "All in the payload",
            "user.signup",
            {
                "specversion": SPECVERSION,
                "id": "1",
                "source": "/shop/web",
                "type": "user.signup",
                "time": "2026-11-22T08:00:00Z",
                "datacontenttype": JSON,
                "data": {"user": "ada", "plan": "pro"},
            },
            {wire.CONTENT_TYPE: STRUCTURED},
        )
    ],
    "binaryEvent": [
        Example(
            "binary",
            "Attributes in headers",
            "user.signup",
            {"user": "ada", "plan": "pro"},
            {"ce-specversion": SPECVERSION, "ce-id": "2", "ce-source": "/shop/web", "ce-type": "user.signup"},
        )
    ],
}

CALLS = {
    "call": [
        Example("positional", "Arguments by position", "add", {"args": [1, 2]}),
        Example(
            "later",
            "Arguments by name, in ten minutes, under an id that the caller has chosen",
            "add",
            {"kwargs": {"a": 1, "b": 2}, "options": {"delay": "10m", "metadata": {"user": "ada"}}},
            {wire.EXECUTION_ID: EXECUTION},
        ),
    ]
}


def _ended(outcome: str, error: dict[str, str]) -> Any:
    execution = {
        "id": EXECUTION,
        "function": "add",
        "state": outcome,
        "attempt": 1 if outcome == "failed" else 0,
        "error": error,
        "created_at": "2026-11-22T08:00:00.000000Z",
        "finished_at": "2026-11-22T08:00:01.250000Z",
        "trace_id": EXECUTION,
        "parent_id": None,
        "event_id": None,
        "links": {"execution": f"http://127.0.0.1:8700/executions/{EXECUTION}"},
    }
    return {
        "specversion": SPECVERSION,
        "id": "0f8c1d5a9be24c0e8d7a6b5c4d3e2f10",
        "source": "/penstock/dev",
        "type": f"penstock.execution.{outcome}",
        "subject": EXECUTION,
        "time": "2026-11-22T08:00:01.250000Z",
        "datacontenttype": JSON,
        "traceparent": TRACEPARENT,
        "data": {"execution": execution},
    }


_BOOM = {
    "code": "user_error",
    "type": "ValueError",
    "message": "boom",
    "stack": 'Traceback (most recent call last):\n  File "shop.py", line 9, in add\nValueError: boom',
}
_STOPPED = {"code": "cancelled", "type": "", "message": "The execution was cancelled.", "stack": ""}
_LATE = {"code": "discarded", "type": "", "message": "The execution was not started in time.", "stack": ""}
_HEADERS = {wire.CONTENT_TYPE: STRUCTURED, wire.TRACEPARENT: TRACEPARENT}

NOTIFICATIONS = {
    "failed": [Example("failed", "The function raised an error", "add", _ended("failed", _BOOM), _HEADERS)],
    "cancelled": [Example("cancelled", "Somebody cancelled it", "add", _ended("cancelled", _STOPPED), _HEADERS)],
    "discarded": [Example("discarded", "It did not start in time", "add", _ended("discarded", _LATE), _HEADERS)],
}
