"""The JSON that readers see, and how it is made from what the view and the log hold."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from penstock.domain import system as s
from penstock.domain.execution.facts import ErrorInfo, Progressed
from penstock.domain.execution.state import Execution
from penstock.domain.flow.limits import FlowOptions
from penstock.domain.function.options import FunctionSpec
from penstock.domain.function.target import CommandTarget, HttpTarget, shown_url
from penstock_query.times import moment

T = TypeVar("T")


def rfc3339(microseconds: int) -> str:
    """UTC with Z and microseconds."""
    return moment(microseconds).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def instant(microseconds: int | None) -> str | None:
    return None if microseconds is None else rfc3339(microseconds)


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list. `next` and `previous` are cursors or null; `sequence` is the position it reflects."""

    data: list[T]
    next: str | None
    previous: str | None
    sequence: str


class ErrorShape(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong."""

    code: str
    type: str
    message: str
    stack: str


class ProgressShape(msgspec.Struct, frozen=True, kw_only=True):
    """How far the function said it was, at that time."""

    done: float
    total: float | None
    note: str
    at: str


class ExecutionShape(msgspec.Struct, frozen=True, kw_only=True):
    """One execution. Times are RFC 3339 in UTC; `sequence` is the position of its last fact."""

    id: str
    function: str
    state: str
    attempt: int
    created_at: str
    scheduled_at: str | None
    started_at: str | None
    finished_at: str | None
    updated_at: str
    metadata: dict[str, str]
    error: ErrorShape | None
    trace_id: str
    trace_url: str | UnsetType = UNSET
    parent_id: str | None
    root_id: str | None
    event_id: str | None
    rerun_of: str | None
    restarted_from: str | None
    version: str
    progress: ProgressShape | None
    sequence: str


class AttemptShape(msgspec.Struct, frozen=True, kw_only=True):
    """One try, waits included.

    Its state is running, waiting, cancelling, succeeded, failed, cancelled, lost or handed_back; undoing or undone for
    one that only undoes steps.
    """

    attempt: int
    state: str
    started_at: str
    finished_at: str | None
    runner: str
    error: ErrorShape | None


class FactShape(msgspec.Struct, frozen=True, kw_only=True):
    """One fact as it is stored; `fact` is the whole of it."""

    sequence: str
    n: int
    kind: str
    at: str
    fact: Raw


class LineShape(msgspec.Struct, frozen=True, kw_only=True):
    """One line that user code wrote: `stream` is stdout, stderr or logging."""

    at: str
    attempt: int
    stream: str
    level: str
    text: str


class FunctionShape(msgspec.Struct, frozen=True, kw_only=True):
    """One declared function with its options as the runner declared them. Times are seconds, memory is bytes."""

    name: str
    description: str
    version: str
    on: list[str]
    when: str | None
    retries: int
    backoff: dict[str, Any]
    timeout: float | None
    memory: int | None
    concurrency: int | None
    runs: str
    """`python`, or `http` or `command`: then `target` is the URL without its query, or the words of the command."""
    target: str | list[str] | None
    flow: FlowOptions
    parameters: dict[str, object]
    declared_at: str
    runner: str
    live: dict[str, int] | None
    """Living runners that have it, by version; null when that cannot be seen at the moment."""
    sequence: str


class StartedExecution(msgspec.Struct, frozen=True, kw_only=True):
    """An execution that an event started."""

    function: str
    id: str


class RefusedFunction(msgspec.Struct, frozen=True, kw_only=True):
    """A function that matched an event and could not be started, with the reason."""

    function: str
    code: str
    detail: str


class EventShape(msgspec.Struct, frozen=True, kw_only=True):
    """One event: matched, unmatched or rejected. `code`, `detail` and `excerpt` are those of a rejected one."""

    id: str
    name: str
    state: str
    source: str | None
    received_at: str
    handled_at: str
    executions: list[StartedExecution]
    refused: list[RefusedFunction]
    code: str | None
    detail: str | None
    excerpt: str | None
    trace_id: str | None
    event_sequence: str
    sequence: str


def error_shape(error: ErrorInfo | None) -> ErrorShape | None:
    if error is None:
        return None
    return ErrorShape(code=error.code, type=error.type, message=error.message, stack=error.stack)


def _progress_shape(said: Progressed | None) -> ProgressShape | None:
    if said is None:
        return None
    return ProgressShape(done=said.done, total=said.total, note=said.note, at=rfc3339(said.at))


def execution_shape(state: Execution, trace_url: str) -> ExecutionShape:
    """`trace_url` is the viewer's address with {trace_id} in it, or empty."""
    return ExecutionShape(
        id=state.id,
        function=state.function,
        state=state.state.value,
        attempt=state.attempt,
        created_at=rfc3339(state.created_at),
        scheduled_at=instant(state.scheduled_at),
        started_at=instant(state.started_at),
        finished_at=instant(state.finished_at),
        updated_at=rfc3339(state.updated_at),
        metadata=state.metadata,
        error=error_shape(state.error),
        trace_id=state.trace_id,
        trace_url=trace_url.replace("{trace_id}", state.trace_id) if trace_url else UNSET,
        parent_id=state.parent_id,
        root_id=state.root_id,
        event_id=state.event_id,
        rerun_of=state.rerun_of,
        restarted_from=state.restarted_from,
        version=state.version,
        progress=_progress_shape(state.progress),
        sequence=f"x:{state.sequence}",
    )


def function_shape(
    fact: s.FunctionDeclared, sequence: int, runners: Mapping[str, Mapping[str, str]] | None
) -> FunctionShape:
    spec: FunctionSpec = fact.spec
    policy = msgspec.to_builtins(spec.policy)
    defaults = {name: getattr(spec.policy, name) for name in spec.policy.__struct_fields__ if name != "retries"}
    runs, target = _target_shape(spec)
    return FunctionShape(
        name=spec.name,
        description=spec.description,
        version=spec.version,
        on=spec.on,
        when=spec.when,
        retries=spec.policy.retries,
        backoff={**defaults, **{name: value for name, value in policy.items() if name != "retries"}},
        timeout=spec.timeout,
        memory=spec.memory,
        concurrency=spec.concurrency,
        runs=runs,
        target=target,
        flow=spec.flow,
        parameters=spec.parameters,
        declared_at=rfc3339(fact.at),
        runner=fact.runner,
        live=None if runners is None else dict(Counter(has[spec.name] for has in runners.values() if spec.name in has)),
        sequence=f"x:{sequence}",
    )


def _target_shape(spec: FunctionSpec) -> tuple[str, str | list[str] | None]:
    match spec.target:
        case HttpTarget(url=url):
            return "http", shown_url(url)
        case CommandTarget(command=command):
            return "command", command
        case None:
            return spec.host, None


def event_shape(
    fact: s.EventFannedOut | s.EventRejected, event_id: str, name: str, state: str, log_sequence: int
) -> EventShape:
    fanned = fact if isinstance(fact, s.EventFannedOut) else None
    rejected = fact if isinstance(fact, s.EventRejected) else None
    return EventShape(
        id=event_id,
        name=name,
        state=state,
        source=fanned.source or None if fanned else None,
        received_at=rfc3339(fact.received_at or fact.at),
        handled_at=rfc3339(fact.at),
        executions=[StartedExecution(function=f, id=i) for f, i in fanned.executions] if fanned else [],
        refused=[RefusedFunction(function=f, code=c, detail=d) for f, c, d in fanned.refused] if fanned else [],
        code=rejected.code if rejected else None,
        detail=rejected.detail if rejected else None,
        excerpt=rejected.excerpt if rejected else None,
        trace_id=fanned.trace_id if fanned else None,
        event_sequence=f"e:{fact.sequence}",
        sequence=f"x:{log_sequence}",
    )
