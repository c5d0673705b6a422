"""Which flow options go together. What cannot have an effect is refused when the module is imported."""

from penstock.domain.errors import Rejected
from penstock.domain.flow.limits import BATCH, NO_FLOW, FlowOptions, Window, key_expressions
from penstock.domain.ids import is_function_name
from penstock.domain.limits import (
    batch_members_max,
    concurrency_max,
    delay_seconds_max,
    expression_chars_max,
    flow_limits_max,
    window_items_max,
)


def validate_flow(function: str, concurrency: int | None, flow: FlowOptions) -> None:
    """Raises Rejected `invalid_option` naming the option at fault."""
    if flow == NO_FLOW:
        return
    for wrong in _contradictions(concurrency, flow):
        raise Rejected("invalid_option", f"Function {function}: {wrong}.")
    names = [limit.name for limit in flow.limits if limit.name]
    if len(flow.limits) > flow_limits_max:
        raise Rejected("invalid_option", f"Function {function} has more than {flow_limits_max} limits.")
    if len(set(names)) < len(names):
        raise Rejected("invalid_option", f"Function {function} names a shared limit twice.")
    for limit in flow.limits:
        if not 1 <= limit.n <= concurrency_max:
            raise Rejected("invalid_option", f"A limit of {function} must be 1 to {concurrency_max}, not {limit.n}.")
        if limit.name and not is_function_name(limit.name):
            raise Rejected("invalid_name", f"A limit is named by 1 to 64 of A-Z a-z 0-9 _ -, not {limit.name!r:.80}.")
    for option, window in (("throttle", flow.throttle), ("rate_limit", flow.rate_limit)):
        if window is not None:
            _window(function, option, window)
    _together(function, flow)
    for label, text in key_expressions(flow).items():
        if not 1 <= len(text) <= expression_chars_max:
            raise Rejected(
                "invalid_option", f"The key of {label} of {function} must have 1 to {expression_chars_max} characters."
            )


def _contradictions(concurrency: int | None, flow: FlowOptions) -> list[str]:
    wrong: list[str] = []
    if flow.fifo and concurrency not in (None, 1):
        wrong.append(f"fifo runs one at a time, so concurrency cannot be {concurrency}")
    if flow.fifo and flow.round_robin is not None:
        wrong.append("fifo keeps the order of enqueue, which round_robin would change")
    limited = concurrency is not None or flow.fifo
    if flow.concurrency_key is not None and not limited:
        wrong.append("concurrency_key needs concurrency (how many per key) or fifo")
    if flow.at_limit != "queue" and not limited:
        wrong.append(f"at_limit={flow.at_limit!r} needs concurrency or fifo")
    if flow.fifo and flow.at_limit == "cancel_running":
        wrong.append("fifo waits for the previous one to end, and cancel_running would not")
    if flow.round_robin is not None and not (limited or flow.limits or flow.throttle):
        wrong.append("round_robin shares out a limit; give concurrency, limits or throttle too")
    return wrong + _contradictions_together(flow)


def _contradictions_together(flow: FlowOptions) -> list[str]:
    wrong: list[str] = []
    given = {"debounce": flow.debounce, "singleton": flow.singleton, "batch": flow.batch}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        wrong.append(f"{' and '.join(names)} each say what becomes of a second one; give one of them")
    if flow.singleton_key is not None and flow.singleton is None:
        wrong.append("singleton_key needs singleton='attach' or 'drop'")
    if flow.singleton is not None and flow.at_limit != "queue":
        wrong.append(f"singleton says what becomes of a second one, and at_limit={flow.at_limit!r} says it too")
    if flow.batch is not None:
        others = {label: text for label, text in key_expressions(flow).items() if label != BATCH}
        wrong += [
            f"a batch is made for one value of its own key, so the key of {label} must be the same as that of batch"
            for label, text in others.items()
            if text != flow.batch.key
        ]
    return wrong


def _together(function: str, flow: FlowOptions) -> None:
    spans = []
    if flow.debounce is not None:
        spans.append(("The period of debounce", flow.debounce.period))
        delay = flow.debounce.max_delay
        if delay is not None:
            spans.append(("max_delay of debounce", delay))
            if delay < flow.debounce.period:
                sentence = f"max_delay of debounce of {function} must not be shorter than its period."
                raise Rejected("invalid_option", sentence)
    if flow.batch is not None:
        spans.append(("wait of batch", flow.batch.wait))
        if not 1 <= flow.batch.size <= batch_members_max:
            sentence = f"size of batch of {function} must be 1 to {batch_members_max}, not {flow.batch.size}."
            raise Rejected("invalid_option", sentence)
    for what, seconds in spans:
        if not 0.001 <= seconds <= delay_seconds_max:
            raise Rejected("invalid_option", f"{what} of {function} must be 0.001 to {delay_seconds_max} s.")


def _window(function: str, option: str, window: Window) -> None:
    if not 1 <= window.n <= window_items_max:
        raise Rejected("invalid_option", f"{option} of {function} must be 1 to {window_items_max}, not {window.n}.")
    if not 0.001 <= window.period <= delay_seconds_max:
        raise Rejected("invalid_option", f"The period of {option} of {function} must be 0.001 s or more.")
