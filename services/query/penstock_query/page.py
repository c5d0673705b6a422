"""The page of one execution as HTML: what it is, what went wrong, what happened, and what can be done. Pure."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import msgspec

from penstock.domain.execution.facts import kind_of
from penstock.domain.execution.state import Execution
from penstock.domain.notify.delivery import Delivery
from penstock.jetstream.lines import StoredLine
from penstock.ports import Recorded
from penstock.wire.codec import encode_fact
from penstock_query.list_page import ADDRESS, outcome_class
from penstock_query.shapes import rfc3339

FACTS_MAX = 200
"""The page shows so many of the latest facts; the API has all."""
FACT_CHARS_MAX = 2000
LINES_MAX = 200
"""And so many of the latest lines of the latest attempts."""
_COMMON = ("kind", "n", "at", "id", "v")


class Marks(NamedTuple):
    """What forms carry: that they come from us, and that this click is one click."""

    form: str
    once: str


def execution_page(
    state: Execution,
    recorded: Sequence[Recorded],
    lines: Sequence[StoredLine],
    deliveries: Sequence[Delivery],
    marks: Marks,
    trace_url: str,
) -> str:
    """The body of the page."""
    return "".join(
        (
            f'<nav><a href="{ADDRESS}">All executions</a></nav><h1>{escape(state.function)} ',
            f"<span class='state {outcome_class(state.state)}'>{escape(state.state)}</span></h1>",
            _buttons(state, marks),
            _error(state),
            _table(_properties(state, trace_url)),
            _lines(lines),
            _deliveries(deliveries),
            _facts(recorded),
        )
    )


def _buttons(state: Execution, marks: Marks) -> str:
    what, label = ("rerun", "Run it again") if state.is_final else ("cancel", "Cancel")
    return (
        f'<form method="post" action="/executions/{escape(state.id)}/{what}">'
        f'<input type="hidden" name="mark" value="{escape(marks.form)}">'
        f'<input type="hidden" name="once" value="{escape(marks.once)}"><button>{label}</button></form>'
    )


def _error(state: Execution) -> str:
    error = state.error
    if error is None:
        return ""
    title = f"{error.code}: {error.type}" if error.type else error.code
    stack = f"<pre>{escape(error.stack)}</pre>" if error.stack else ""
    return f"<h2 class='failed'>{escape(title)}</h2><p>{escape(error.message)}</p>{stack}"


def _properties(state: Execution, trace_url: str) -> list[tuple[str, str]]:
    times = {
        "created": state.created_at,
        "scheduled": state.scheduled_at,
        "started": state.started_at,
        "finished": state.finished_at,
    }
    trace = escape(state.trace_id)
    if trace_url.startswith(("https://", "http://")):
        trace = f'<a href="{escape(trace_url.replace("{trace_id}", state.trace_id))}">{trace}</a>'
    rows = [("execution", f"<code>{escape(state.id)}</code>"), ("attempt", str(state.attempt))]
    rows += [(name, rfc3339(at)) for name, at in times.items() if at]
    rows += [
        (name, _link(other)) for name, other in (("parent", state.parent_id), ("rerun of", state.rerun_of)) if other
    ]
    rows.append(("trace", trace))
    return rows + [(escape(key), escape(value)) for key, value in sorted(state.metadata.items())]


def _link(execution_id: str) -> str:
    return f'<a href="/executions/{escape(execution_id)}">{escape(execution_id)}</a>'


def _table(rows: Sequence[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows) + "</table>"


def _lines(lines: Sequence[StoredLine]) -> str:
    if not lines:
        return ""
    shown = lines[-LINES_MAX:]
    text = "\n".join(f"{rfc3339(each.line.at)[11:23]} {each.attempt} {each.line.text}" for each in shown)
    note = f"Time, attempt, and what the function wrote; the latest {LINES_MAX}."
    return f"<h2>Lines</h2><p>{note}</p><pre>{escape(text)}</pre>"


def _deliveries(deliveries: Sequence[Delivery]) -> str:
    if not deliveries:
        return ""
    rows = "".join(
        f"<tr><td>{escape(each.channel)}</td><td>{escape(each.notice.rule)}</td><td>{escape(each.state)}</td>"
        f"<td>{escape(each.attempts[-1].detail) if each.attempts else ''}</td><td><code>{escape(each.notice.id)}</code>"
        "</td></tr>"
        for each in deliveries
    )
    head = "<tr><th>channel</th><th>rule</th><th>state</th><th>last attempt</th><th>id</th></tr>"
    return f"<h2>Notifications</h2><table>{head}{rows}</table>"


def _facts(recorded: Sequence[Recorded]) -> str:
    shown = recorded[-FACTS_MAX:]
    note = f"<p>The latest {len(shown)} of {len(recorded)}.</p>" if len(shown) < len(recorded) else ""
    rows = "".join(
        f"<tr><td>{each.fact.n}</td><td>{escape(kind_of(each.fact))}</td><td>{rfc3339(each.fact.at)}</td>"
        f"<td><code>{escape(_rest(each))}</code></td></tr>"
        for each in shown
    )
    return f"<h2>Facts</h2>{note}<table><tr><th>n</th><th>fact</th><th>at</th><th></th></tr>{rows}</table>"


def _rest(recorded: Recorded) -> str:
    """What the fact says beside its kind, number and time."""
    said = msgspec.json.decode(encode_fact(recorded.fact))
    rest = {name: value for name, value in said.items() if name not in _COMMON}
    text = msgspec.json.encode(rest).decode() if rest else ""
    return text if len(text) <= FACT_CHARS_MAX else text[:FACT_CHARS_MAX] + " ..."
