"""`when=` expressions (CEL) on events."""

from functools import lru_cache
from typing import Any

import cel
import msgspec

from penstock.domain.errors import Rejected
from penstock.wire.cloudevents import Event


@lru_cache(maxsize=4096)
def _compiled(expression: str) -> Any:
    return cel.compile(expression)


def variables(event: Event) -> dict[str, Any]:
    """What an expression can see."""
    return {
        "event": {
            "id": event.id,
            "source": event.source,
            "name": event.name,
            "type": event.name,
            "time": event.time,
            "subject": event.subject,
            "data": msgspec.json.decode(event.data),
            "extensions": event.extensions,
        }
    }


def holds(expression: str, seen: dict[str, Any]) -> bool:
    """Whether the expression is true of the event.

    Raises Rejected `invalid_option` for what is no expression or is neither true nor false, and `invalid_event` when
    the event lacks what the expression asks for.
    """
    try:
        program = _compiled(expression)
    except ValueError as error:
        raise Rejected("invalid_option", f"when is no CEL expression: {_short(error)}.") from None
    try:
        answer = program.execute(seen)
    except KeyError as error:
        raise Rejected("invalid_event", f"when={expression[:200]!r}: the event has no {error}.") from None
    except Exception as error:
        # The library raises whatever Python raises for the operation at fault.
        raise Rejected("invalid_event", f"when={expression[:200]!r} fails on this event: {_short(error)}.") from None
    if not isinstance(answer, bool):
        raise Rejected("invalid_option", f"when={expression[:200]!r} answers neither true nor false.")
    return answer


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:300].rstrip(".")
