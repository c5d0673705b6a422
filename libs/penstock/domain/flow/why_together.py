"""Why an execution does not run that waits with others or is about to follow one."""

from penstock.domain.flow.gatherings import Gathering
from penstock.domain.flow.limits import FlowOptions
from penstock.domain.flow.lines import Item
from penstock.domain.flow.reason import HOLDERS_MAX, Why
from penstock.domain.flow.state import FlowState


def why_gathering(state: FlowState, item: Item, now: int) -> Why:
    """It is in a debounce or in a batch that has not started."""
    found = state.gatherings.all[item.gathering]
    flow = state.functions[item.line.function].flow
    answer = _debounce(found, item, flow) if found.kind == "debounce" else _batch(found, item, flow)
    answer.key = found.place[1] or None
    if found.due > now:
        answer.at = found.due
    else:
        answer.starts_when = "This is being decided now."
    return answer


def why_joining(state: FlowState, item: Item) -> Why:
    """A singleton that runs or waits already is being joined."""
    leader = state.singles.leader_of(item) or ""
    return Why(
        rule="singleton",
        detail=f"Execution {leader} of the same function and key had not ended when this one came.",
        starts_when=f"Never: it is about to follow {leader} and ends as that ends.",
        holders=[leader],
        holder_count=1,
    )


def _debounce(found: Gathering, item: Item, flow: FlowOptions) -> Why:
    newest, count = found.newest(), len(found.items)
    period = flow.debounce.period if flow.debounce is not None else 0.0
    if newest is item:
        detail = f"It is the newest of {count} that are being merged; the arguments of the newest count."
        starts = f"Nothing newer comes for {period:g} s after the latest"
    else:
        detail = f"It is one of {count} that are being merged, and {newest.id} is newer."
        starts = f"Never: it will follow the newest, which starts when nothing comes for {period:g} s"
    if flow.debounce is not None and flow.debounce.max_delay is not None:
        starts += f", or {flow.debounce.max_delay:g} s after the first"
    others = [newest.id] if newest is not item else []
    return Why(rule="debounce", detail=detail, starts_when=f"{starts}.", holders=others, holder_count=len(others))


def _batch(found: Gathering, item: Item, flow: FlowOptions) -> Why:
    ids = sorted(found.items, key=lambda each: found.items[each].arrival)
    size, wait = (flow.batch.size, flow.batch.wait) if flow.batch is not None else (0, 0.0)
    return Why(
        rule="batch",
        detail=f"{len(ids)} of at most {size} executions are collected for one batch.",
        starts_when=f"The batch is full, or {wait:g} s have passed since its first came.",
        limit=size,
        holders=ids[:HOLDERS_MAX],
        holder_count=len(ids),
        position=ids.index(item.id) + 1,
    )
