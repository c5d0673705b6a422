"""What the end of an execution means to those that it called. Pure."""

from penstock.domain.execution.facts import Child
from penstock.domain.execution.state import Execution, State


def to_cancel(state: Execution) -> list[Child]:
    """The children that have to be cancelled now that this execution has ended as it has.

    A cancelled one takes all with it that it called with `on_cancel` "cancel". One that failed takes only those of
    them for which it was waiting: nobody wants their results any more, while detached ones are on their own.
    """
    if not state.is_final or state.state is State.SUCCEEDED:
        return []
    found: list[Child] = []
    for child in state.children.values():
        is_awaited = not state.ops[child.call].detached
        if not child.state and child.on_cancel == "cancel" and (is_awaited or state.state is State.CANCELLED):
            found.append(child.child)
    return found
