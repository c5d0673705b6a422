"""The first page as HTML: the latest executions, the states and functions to choose from, and the way further. Pure."""

from collections.abc import Sequence
from html import escape
from urllib.parse import urlencode

from penstock.domain.execution.state import State
from penstock_query.queries import METADATA, ExecutionFilter
from penstock_query.shapes import ExecutionShape, instant

ADDRESS = "/"
ERROR_CHARS_MAX = 200
_COLUMNS = ("state", "function", "execution", "created", "error")


def list_page(
    executions: Sequence[ExecutionShape], wanted: ExecutionFilter, newer: str | None, older: str | None
) -> str:
    """The body of the page. `newer` and `older` are the cursors of the pages beside this one."""
    shown = _table(executions) if executions else f"<p>{_nothing(wanted)}</p>"
    return "".join((f"<h1>{_title(wanted)}</h1>", _states(wanted), shown, _further(wanted, newer, older)))


def outcome_class(state: str) -> str:
    """The class that colours a state; empty for most."""
    return state if state in ("failed", "succeeded") else ""


def _title(wanted: ExecutionFilter) -> str:
    chosen = ", ".join(escape(name) for name in wanted.functions)
    return f"Executions of {chosen}" if chosen else "Executions"


def _nothing(wanted: ExecutionFilter) -> str:
    if wanted == ExecutionFilter():
        return "There is no execution yet. Start one with <code>penstock call</code> or <code>penstock trigger</code>."
    return "No execution fits."


def _states(wanted: ExecutionFilter) -> str:
    choices = [("all", ()), *((state.value, (state.value,)) for state in State)]
    links = (
        f"<b>{name}</b>" if wanted.states == states else _link(name, wanted._replace(states=states))
        for name, states in choices
    )
    others = f"<p>{_link('all functions', wanted._replace(functions=()))}</p>" if wanted.functions else ""
    return f"<p>{' '.join(links)}</p>{others}"


def _table(executions: Sequence[ExecutionShape]) -> str:
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    return f"<table><tr>{head}</tr>{''.join(_row(each) for each in executions)}</table>"


def _row(each: ExecutionShape) -> str:
    error = each.error
    said = f"{error.code}: {error.message}"[:ERROR_CHARS_MAX] if error is not None else ""
    again = f" (attempt {each.attempt})" if each.attempt > 1 else ""
    return (
        f"<tr><td><span class='state {outcome_class(each.state)}'>{escape(each.state)}</span>{again}</td>"
        f"<td>{_link(each.function, ExecutionFilter(functions=(each.function,)))}</td>"
        f"<td><a href='/executions/{escape(each.id)}'><code>{escape(each.id)}</code></a></td>"
        f"<td>{escape(each.created_at[:19].replace('T', ' '))}Z</td><td>{escape(said)}</td></tr>"
    )


def _further(wanted: ExecutionFilter, newer: str | None, older: str | None) -> str:
    links = [_link(name, wanted, cursor) for name, cursor in (("newer", newer), ("older", older)) if cursor]
    return f"<p>{' '.join(links)}</p>" if links else ""


def _link(text: str, wanted: ExecutionFilter, cursor: str | None = None) -> str:
    query = urlencode([(name, value) for name, value in (*_parameters(wanted), ("cursor", cursor)) if value])
    return f'<a href="{escape(ADDRESS + ("?" + query if query else ""))}">{escape(text)}</a>'


def _parameters(wanted: ExecutionFilter) -> list[tuple[str, str | None]]:
    """The filters as the address has them, where the end of the time does not count."""
    end = wanted.created.end
    return [
        ("state", ",".join(wanted.states)),
        ("function", ",".join(wanted.functions)),
        ("event_id", wanted.event_id),
        ("parent_id", wanted.parent_id),
        ("created_after", instant(wanted.created.start)),
        ("created_before", instant(end + 1 if end is not None else None)),
        *((f"{METADATA}{key}", ",".join(values)) for key, values in wanted.metadata),
    ]
