"""Facts for tests, with the fields that a test does not care about filled in."""

from typing import Any

from msgspec import Raw

from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.retries import RetryPolicy

BOOM = f.ErrorInfo(code="user_error", type="ValueError", message="boom", stack="Traceback: boom")
TRACE = "0af7651916cd43dd8448eb211c80319c"


def enqueued(at: int = 0, **fields: Any) -> f.Enqueued:
    return f.Enqueued(n=1, at=at, **{"function": "work", "trace_id": TRACE, **fields})


def started(n: int = 2, at: int = 0, activation: int = 1, attempt: int = 1, runner: str = "r1") -> f.Started:
    return f.Started(n=n, at=at, activation=activation, attempt=attempt, runner=runner)


def retry_scheduled(n: int = 3, at: int = 0, attempt: int = 1, retry_at: int = 100) -> f.RetryScheduled:
    return f.RetryScheduled(n=n, at=at, attempt=attempt, error=BOOM, retry_at=retry_at)


def lost(n: int = 3, at: int = 0, attempt: int = 1, activation: int = 1, reason: str = "lapsed") -> f.AttemptLost:
    return f.AttemptLost(n=n, at=at, attempt=attempt, activation=activation, runner="r1", reason=reason)


def start(activation: int = 1, runner: str = "r1") -> c.Start:
    return c.Start(activation=activation, runner=runner)


def succeed(activation: int = 1, result: bytes = b"3") -> c.Succeed:
    return c.Succeed(activation=activation, result=Raw(result))


def fail(activation: int = 1, retries: int = 0, **fields: Any) -> c.Fail:
    policy = fields.pop("policy", RetryPolicy(retries=retries, shape="fixed", initial=10.0))
    return c.Fail(activation=activation, error=BOOM, policy=policy, **fields)
