"""Facts and commands of durable code for tests, with the fields that a test does not care about filled in."""

from typing import Any

from msgspec import Raw

from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.retries import RetryPolicy
from unit.histories import BOOM, enqueued, started

FIXED = RetryPolicy(retries=1, shape="fixed", initial=10.0)
CHILD = "c1" * 16
OTHER = "c2" * 16
RUNNING = (enqueued(), started())
REJECTED = f.ErrorInfo(code="rejected", message="no")


def step(n: int = 3, name: str = "a", at: int = 0, **fields: Any) -> f.StepCompleted:
    return f.StepCompleted(n=n, at=at, attempt=1, step=name, started_at=0, result=Raw(b"1"), **fields)


def step_failed(n: int = 3, failures: int = 1, retry_at: int | None = 100, at: int = 0) -> f.StepFailed:
    return f.StepFailed(n=n, at=at, attempt=1, step="a", started_at=0, error=BOOM, failures=failures, retry_at=retry_at)


def sleep(key: str = "nap", until: int = 100, **fields: Any) -> f.Wait:
    return f.Wait(key=key, wait="sleep", until=until, **fields)


def event(key: str = "approved", until: int | None = None, **fields: Any) -> f.Wait:
    return f.Wait(key=key, wait="event", name="doc.approved", until=until, **fields)


def token(key: str = "pay", until: int | None = None, **fields: Any) -> f.Wait:
    return f.Wait(key=key, wait="token", until=until, **fields)


def message(key: str = "receive", channel: str = "default", until: int | None = None, **fields: Any) -> f.Wait:
    return f.Wait(key=key, wait="message", name=channel, until=until, **fields)


def children(key: str = "call", *ids: str, until: int | None = None, **fields: Any) -> f.Wait:
    return f.Wait(key=key, wait="children", until=until, children=list(ids or (CHILD,)), **fields)


def opened(n: int, *waits: f.Wait, suspends: bool = True, at: int = 0) -> f.WaitOpened:
    wakes_at = min((wait.until for wait in waits if wait.until is not None), default=None)
    return f.WaitOpened(n=n, at=at, waits=list(waits), suspends=suspends, wakes_at=wakes_at)


def woken(n: int, key: str, outcome: Any = "elapsed", at: int = 0, **fields: Any) -> f.Woken:
    return f.Woken(n=n, at=at, wait=key, outcome=outcome, **fields)


def called(n: int = 3, *ids: str, call: str = "call", detached: bool = False) -> f.ChildCalled:
    kids = [f.Child(id=one, function="add") for one in ids or (CHILD,)]
    return f.ChildCalled(n=n, at=0, call=call, children=kids, detached=detached)


def child_done(n: int, child: str = CHILD, at: int = 0, **fields: Any) -> f.ChildCompleted:
    return f.ChildCompleted(
        n=n, at=at, **{"call": "call", "child": child, "state": "succeeded", "result": Raw(b"3"), **fields}
    )


def received(n: int, name: str = "m1", channel: str = "default", body: bytes = b'"hi"') -> f.MessageReceived:
    return f.MessageReceived(n=n, at=0, message=name, channel=channel, body=Raw(body))


def compensating(n: int, outcome: Any = "failed", at: int = 0) -> f.Compensating:
    cancelled = f.ErrorInfo(code="cancelled", message="The execution was cancelled.")
    return f.Compensating(n=n, at=at, outcome=outcome, error=BOOM if outcome == "failed" else cancelled)


def open_waits(*waits: f.Wait, activation: int = 1, blocked: list[str] | None = None, **fields: Any) -> c.OpenWaits:
    blocked = [wait.key for wait in waits] if blocked is None else blocked
    return c.OpenWaits(activation=activation, waits=list(waits), blocked=blocked, **{"suspends": True, **fields})


def complete(key: str, outcome: Any = "completed", source: str = "s1", **fields: Any) -> c.CompleteWait:
    return c.CompleteWait(wait=key, outcome=outcome, source=source, **{"result": Raw(b"7"), **fields})


def child_ended(child: str = CHILD, state: str = "succeeded") -> c.CompleteChild:
    return c.CompleteChild(child=child, state=state, result=Raw(b"3"))


def tell(name: str = "m1", channel: str = "default", body: bytes = b'"hi"') -> c.ReceiveMessage:
    return c.ReceiveMessage(message=name, channel=channel, body=Raw(body))


def fail_step(activation: int = 1, policy: RetryPolicy = FIXED, **fields: Any) -> c.FailStep:
    return c.FailStep(activation=activation, step="a", started_at=0, error=BOOM, policy=policy, **fields)
