"""What the runner writes into its own log about the end of an attempt; whose it is stands in every line."""

from functools import cache
from typing import Any

import structlog

from penstock.domain.execution.durable import Paused
from penstock.domain.execution.facts import AnyFact, AttemptLost, Cancelled, Failed, RetryScheduled, Succeeded


@cache
def _bound() -> Any:
    """The logger as configured: asked once, a line that is not wanted costs a tenth."""
    return structlog.get_logger("penstock").bind()


SURROUNDINGS = frozenset({"crashed", "out_of_memory", "result_not_serialisable", "internal"})
"""Codes of errors that are of interest to whoever runs the machine, and not only to whoever wrote the function."""


def tell_outcome(fact: AnyFact) -> None:
    """One line for a fact that ends an attempt: quiet where code only failed as code does."""
    logger = _bound()
    match fact:
        case Succeeded():
            logger.info("attempt_succeeded")
        case Failed() | Paused() | RetryScheduled():
            error = fact.error
            line = {"code": error.code, "error_type": error.type, "final": isinstance(fact, Failed)}
            if error.code in SURROUNDINGS:
                # The message is ours then: user code had no say.
                logger.warning("attempt_failed", **line, reason=error.message)
            else:
                logger.info("attempt_failed", **line)
        case AttemptLost():
            level = logger.info if fact.reason == "drained" else logger.warning
            level("attempt_lost", reason=fact.reason)
        case Cancelled():
            logger.info("attempt_cancelled")
        case _:
            return
