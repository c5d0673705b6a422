"""Facts to append in tests."""

import time
import uuid

from penstock.domain.execution.facts import AnyFact, Due, Enqueued, Started, Succeeded
from penstock.ports import Append

FUNCTION = "add"


def new_id() -> str:
    return uuid.uuid4().hex


def now() -> int:
    return time.time_ns() // 1000


def enqueued(execution_id: str, n: int = 1) -> Enqueued:
    return Enqueued(n=n, at=now(), function=FUNCTION, trace_id=execution_id)


def started(n: int = 2) -> Started:
    return Started(n=n, at=now(), activation=1, attempt=1, runner="r1")


def succeeded(n: int = 3) -> Succeeded:
    return Succeeded(n=n, at=now(), attempt=1)


def due(n: int = 2) -> Due:
    return Due(n=n, at=now())


def entry(execution_id: str, *facts: AnyFact, expected: int = 0) -> Append:
    return Append(
        execution_id=execution_id, function=FUNCTION, facts=facts or [enqueued(execution_id)], expected=expected
    )
