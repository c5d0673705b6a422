"""What a runner does for the code of an attempt, done on the memory of a simulation."""

from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.execution import commands as c
from penstock.domain.execution.create import Origin
from penstock.domain.execution.facts import Child
from penstock.domain.function.options import CallOptions, ResolvedOptions, resolve
from penstock.domain.ids import child_execution_id, keyed_execution_id
from penstock.functions import actions as a
from penstock.functions import translate
from penstock.testing.worlds import Record, World

TOKEN_ADDRESS = "https://penstock.test/v1/tokens/"  # noqa: S105 - an address, no secret


class Actions:
    """The actions of one activation, which begins now."""

    def __init__(self, world: World, record: Record, activation: int, functions: Collection[str]) -> None:
        self._world = world
        self._record = record
        self._activation = activation
        self._functions = functions
        self._woken_at = world.now

    def do(self, action: a.AnyAction) -> Any:
        """Carry it out; answers with what the code is told. Raises Rejected."""
        activation, record, world = self._activation, self._record, self._world
        match action:
            case a.BeginStep():
                begin = c.BeginStep(activation=activation, step=action.step, position=action.position)
                world.carry_out(record, begin)
            case a.CompleteStep():
                world.carry_out(record, translate.complete_step(action, activation))
                return record.state.ops[action.step].at
            case a.FailStep():
                world.carry_out(record, translate.fail_step(action, activation))
                return record.state.ops[action.step].retry_at
            case a.OpenWaits():
                self._open_waits(action)
            case a.CallChildren():
                return self._call_children(action)
            case a.CancelChildren():
                self._cancel_children(action)
            case a.MakeToken():
                token = f"{record.id}.{action.wait}"
                return {"id": token, "url": TOKEN_ADDRESS + token}
            case a.ReportProgress():
                world.carry_out(record, translate.report_progress(action, activation))
        return None

    def _open_waits(self, action: a.OpenWaits) -> None:
        world, record = self._world, self._record
        # Time stands still here, so that times alone do not tell which event came first.
        taken = max((int(op.source) for op in record.state.ops.values() if op.outcome == "event"), default=0)
        after = {
            wait.key: world.position_at(self._woken_at - round(wait.look_back * 1_000_000))
            if wait.look_back
            else max(taken, world.position_at(self._woken_at))
            for wait in action.waits
            if wait.wait == "event"
        }
        world.carry_out(record, translate.open_waits(action, self._activation, after))
        world.look_back(record)

    def _call_children(self, action: a.CallChildren) -> list[str]:
        world, record = self._world, self._record
        if action.function not in self._functions:
            raise Rejected("unknown_function", f"The app has no function {action.function!r}.")
        options = resolve(msgspec.json.decode(action.options, type=CallOptions), world.now)
        ids = [self._child_id(action, options, index) for index in range(len(action.items))]
        children = [Child(id=each, function=action.function) for each in ids]
        world.carry_out(record, translate.call_children(action, self._activation, children))
        origin = Origin(parent_id=record.id, root_id=record.state.root_id or record.id)
        for each, item in zip(ids, action.items, strict=True):
            world.create(each, action.function, Raw(item.args), Raw(item.kwargs), options, origin)
        return ids

    def _child_id(self, action: a.CallChildren, options: ResolvedOptions, index: int) -> str:
        if options.idempotency_key is not None:
            return keyed_execution_id("test", action.function, options.idempotency_key)
        return child_execution_id(self._record.id, action.call, index)

    def _cancel_children(self, action: a.CancelChildren) -> None:
        for known in list(self._record.state.children.values()):
            child = self._world.records[known.child.id]
            # An idempotency key may have led to the child of somebody else, who still wants it.
            is_own = child.state.parent_id == self._record.id
            if known.call in action.calls and is_own and not child.state.is_final:
                self._world.cancel(child)
        done = a.CompleteStep(action.step, 0, self._world.now, b"null")
        self._world.carry_out(self._record, translate.complete_step(done, self._activation))
