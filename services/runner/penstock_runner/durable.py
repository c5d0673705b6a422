"""Carries out what durable code asks for: steps stored, waits opened, children made, tokens given, progress kept."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.execution import commands as c
from penstock.domain.execution.facts import Child, Wait, WaitOpened
from penstock.domain.execution.tokens import make_token
from penstock.domain.limits import payload_inline_bytes_max
from penstock.functions import actions as a
from penstock.functions import translate
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.objects import Payloads
from penstock.ports import Clock, Dice, Timers
from penstock.wire.names import wait_token
from penstock_runner.activity import Activity, until_answered
from penstock_runner.children import Children
from penstock_runner.lengths import Lengths
from penstock_runner.others import Others
from penstock_runner.outcomes import outcomes_of

PROGRESS_SECONDS = 1.0
"""Progress is stored at most so often; of what was reported meanwhile the newest counts."""

Confirm = Callable[[Activity], Awaitable[None]]


class Durable:
    """The actions of attempts. What is answered is stored."""

    def __init__(
        self,
        log: JetStreamLog,
        timers: Timers,
        payloads: Payloads,
        children: Children,
        others: Others,
        lengths: Lengths,
        signing_key: bytes,
        public_url: str,
        clock: Clock,
        dice: Dice,
    ) -> None:
        self._log = log
        self._timers = timers
        self._payloads = payloads
        self._children = children
        self._others = others
        self._lengths = lengths
        self._signing_key = signing_key
        self._public_url = public_url
        self._clock = clock
        self._dice = dice

    async def do(self, activity: Activity, action: a.AnyAction) -> bytes:
        """Carry out one action and answer with JSON. Raises Rejected."""
        match action:
            case a.BeginStep():
                await self._carry_out(
                    activity, c.BeginStep(activation=activity.activation, step=action.step, position=action.position)
                )
                return b"null"
            case a.CompleteStep():
                return await self._complete_step(activity, action)
            case a.FailStep():
                return await self._fail_step(activity, action)
            case a.OpenWaits():
                return await self._open_waits(activity, action)
            case a.CallChildren():
                return msgspec.json.encode(await self._children.call(activity, action))
            case a.CancelChildren():
                return await self._cancel_children(activity, action)
            case a.MakeToken():
                token = make_token(self._signing_key, activity.state.id, action.wait)
                return msgspec.json.encode({"id": token, "url": f"{self._public_url}/v1/tokens/{token}"})
            case a.ReportProgress():
                self._progress(activity, action)
                return b"null"

    async def _carry_out(self, activity: Activity, command: c.AnyCommand) -> Any:
        return await activity.carry_out(self._log, command, self._clock, self._dice)

    # Steps.
    async def _complete_step(self, activity: Activity, action: a.CompleteStep) -> bytes:
        command = translate.complete_step(action, activity.activation)
        if len(action.result) > payload_inline_bytes_max:
            # One name for each try: an object that a refused append leaves behind is not mistaken for another's.
            name = f"{activity.state.id}-step-{activity.state.n + 1}-{activity.next_number()}"
            await until_answered(lambda: self._payloads.put(name, action.result))
            command = msgspec.structs.replace(command, result=Raw(b"null"), result_ref=name)
        await self._carry_out(activity, command)
        self._lengths.grown(activity)
        return msgspec.json.encode(activity.state.ops[action.step].at)

    async def _fail_step(self, activity: Activity, action: a.FailStep) -> bytes:
        command = translate.fail_step(action, activity.activation)
        await self._carry_out(activity, command)
        return msgspec.json.encode(activity.state.ops[action.step].retry_at)

    # Waits.
    async def _open_waits(self, activity: Activity, action: a.OpenWaits) -> bytes:
        after = {
            wait.key: await self._position(activity, wait)
            for wait in action.waits
            if wait.wait == "event" and wait.key not in activity.state.waits
        }
        activity.awaited.update(wait.key for wait in action.waits)
        command = translate.open_waits(action, activity.activation, after)
        if action.suspends:
            await self.flush_progress(activity)
        for fact in await self._carry_out(activity, command):
            if isinstance(fact, WaitOpened):
                await asyncio.gather(*(self._set_timer(activity.state.id, wait) for wait in fact.waits))
        await self.deliver(activity)
        return b"null"

    async def _set_timer(self, execution_id: str, wait: Wait) -> None:
        until = wait.until
        if until is not None:
            await until_answered(lambda: self._timers.set(execution_id, wait_token(wait.key), until))

    async def _position(self, activity: Activity, wait: a.WaitFor) -> int:
        """The position in EVENTS from which on events count for this wait."""
        since = translate.events_since(activity.state, activity.woken_at) - round(wait.look_back * 1_000_000)
        names = self._log.names
        subject = names.event_subject(">")
        return await until_answered(lambda: self._log.reader.position_at(names.events, subject, since))

    async def deliver(self, activity: Activity) -> None:
        """Tell the worker process which of the operations that it waits for are over, unless it has to leave."""
        if not activity.awaited or activity.state.activation != activity.activation:
            return
        over = [key for key in activity.awaited if key in activity.state.ops and activity.state.ops[key].done]
        if not over or activity.assignment is None:
            return
        activity.awaited.difference_update(over)
        outcomes = await until_answered(lambda: outcomes_of(activity.state, over, self._payloads))
        assignment = activity.assignment
        if assignment is not None:
            assignment.tell(outcomes)

    # Children.
    async def _cancel_children(self, activity: Activity, action: a.CancelChildren) -> bytes:
        calls = set(action.calls)
        unfinished = [one for one in activity.state.children.values() if one.call in calls and not one.state]
        await asyncio.gather(*(self._cancel(one.child, activity.state.id) for one in unfinished))
        command = c.CompleteStep(
            activation=activity.activation, step=action.step, started_at=self._clock(), result=Raw(b"null")
        )
        await self._carry_out(activity, command)
        return b"null"

    async def _cancel(self, child: Child, parent_id: str) -> None:
        loaded = await until_answered(lambda: self._log.load(child.id, child.function))
        if loaded is None or loaded.state.parent_id != parent_id:
            return  # an idempotency key led to it: it is the child of somebody else, who still wants it
        with suppress(Rejected):
            await self._others.carry_out(child.id, c.RequestCancel(), child.function)

    # Progress.
    def _progress(self, activity: Activity, action: a.ReportProgress) -> None:
        waiting = activity.progress is not None
        activity.progress = action
        if not waiting:
            task = asyncio.get_running_loop().create_task(self._store_progress(activity))
            activity.background.add(task)
            task.add_done_callback(activity.background.discard)

    async def _store_progress(self, activity: Activity) -> None:
        delay = activity.progress_due - asyncio.get_running_loop().time()
        if delay > 0:
            await asyncio.sleep(delay)
        await self.flush_progress(activity)

    async def flush_progress(self, activity: Activity) -> None:
        """Store what was reported last, if it is not stored."""
        report, activity.progress = activity.progress, None
        if report is None:
            return
        activity.progress_due = asyncio.get_running_loop().time() + PROGRESS_SECONDS
        command = translate.report_progress(report, activity.activation)
        with suppress(Rejected):
            await self._carry_out(activity, command)
