"""From a runnable item to its acknowledgement: start, run where it belongs, record the outcome, ack last."""

import asyncio
import itertools
import os
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import structlog

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import LoseAttempt, Start
from penstock.domain.execution.evolve import evolve
from penstock.domain.execution.facts import (
    Admitted,
    AnyFact,
    Due,
    Enqueued,
    RetryScheduled,
    Started,
    Unknown,
)
from penstock.domain.execution.inherit import read_inherited, with_inherited
from penstock.domain.execution.state import Execution, State
from penstock.domain.function.options import FunctionSpec
from penstock.domain.limits import losses_max, payload_inline_bytes_max
from penstock.functions.actions import Outcome
from penstock.handle import fold_recorded, handle
from penstock.jetstream.objects import PayloadDamaged, PayloadMissing, Payloads
from penstock.ports import Clock, Dice, ExecutionLog, Item, Leases, Timers, Unavailable
from penstock.service.concern import concerning
from penstock.telemetry.paths import attempt_span
from penstock.wire.codec import decode_fact
from penstock.wire.names import START_WAIT
from penstock.wire.topology import LEASE_SECONDS
from penstock_runner.activity import Activity, until_answered
from penstock_runner.arguments import Arguments
from penstock_runner.durable import Durable
from penstock_runner.journal import tell_outcome
from penstock_runner.lengths import Lengths
from penstock_runner.lines import Capture, LineShipper
from penstock_runner.outcome import CLOSED, SUSPENDED, command_of
from penstock_runner.outcomes import outcomes_of
from penstock_runner.pinning import ELSEWHERE_SECONDS, LiveVersions, is_pinned_elsewhere, refusal
from penstock_runner.places.place import Place
from penstock_runner.places.result import storable
from penstock_runner.requests import Requests
from penstock_runner.workers.assignment import Assignment, Ending, Killed
from penstock_runner.workers.messages import Raised, Returned, Run
from penstock_runner.workers.time_limits import TimeLimits

logger = structlog.get_logger("penstock")

DOUBT_SECONDS = LEASE_SECONDS - 2.0
"""Without proof of life for so long, others may have taken our attempts over (the rest is room for being late)."""
OWNED_RETRY_SECONDS = 5.0
"""How long an item is put aside whose activation another living runner has."""
LEAVE_SECONDS = 3.0
"""How long the next activation of an execution waits for the one before to leave its worker process."""
_numbers = itertools.count(1)


class Executor:
    """All activations of this runner. `active` holds them by execution id."""

    def __init__(
        self,
        runner: str,
        log: ExecutionLog,
        timers: Timers,
        leases: Leases,
        payloads: Payloads,
        places: Place,
        shipper: LineShipper,
        requests: Requests,
        durable: Durable,
        lengths: Lengths,
        clock: Clock,
        dice: Dice,
        versions: LiveVersions,
    ) -> None:
        self.runner = runner
        self.active: dict[str, Activity] = {}
        self.is_draining = False
        self._log = log
        self._timers = timers
        self._leases = leases
        self._versions = versions
        self._payloads = payloads
        self._arguments = Arguments(log, payloads)
        self._places = places
        self._shipper = shipper
        self._requests = requests
        self._durable = durable
        self._lengths = lengths
        self._clock = clock
        self._dice = dice
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self.proven_at = self._loop.time()
        """When the lease was last renewed."""

    @property
    def is_in_doubt(self) -> bool:
        """True when the lease may have lapsed: this process stood still, or NATS was away, for too long."""
        return self._loop.time() - self.proven_at > DOUBT_SECONDS

    def begin(self, item: Item, spec: FunctionSpec) -> None:
        """Work on the item, in a task of its own."""
        task = self._loop.create_task(self._process(item, spec))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, grace: float) -> None:
        """Give back what has not started, let the rest finish for `grace` seconds, then hand it back too."""
        self.is_draining = True
        self._places.retire()
        for activity in list(self.active.values()):
            if activity.activation == 0 and activity.task is not None:
                activity.task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=grace)
        for activity in list(self.active.values()):
            if activity.assignment is not None:
                self._places.stop(activity.assignment, Killed("drained"), force=not activity.spec.is_async)
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=5.0)
        for task in list(self._tasks):
            task.cancel()

    async def look_again(self, execution_id: str) -> None:
        """Read what others wrote about an execution that runs here: a cancel request, or that it is ours no longer."""
        activity = self.active.get(execution_id)
        if activity is None or activity.assignment is None:
            return
        before = activity.state
        newer = await self._log.read(execution_id, activity.item.function, after=before.sequence)
        if not newer or self.active.get(execution_id) is not activity:
            return
        state = fold_recorded(newer, before)
        assert state is not None
        activity.learn(state)
        self._obey(activity, state)
        await self._durable.deliver(activity)

    async def _confirm(self, activity: Activity) -> None:
        """Before user code goes on: stop it if its attempt was taken over while nobody heard from us."""
        if self.is_in_doubt:
            await until_answered(lambda: self.look_again(activity.item.execution_id))
        await self._durable.deliver(activity)
        self._obey(activity, activity.state)

    def _obey(self, activity: Activity, state: Execution) -> None:
        """Stop user code if the state says so."""
        assignment = activity.assignment
        if assignment is None:
            return
        if state.suspended and state.n == activity.state.n:
            self._places.stop(assignment, Killed(SUSPENDED))
        elif state.activation != activity.activation or state.owner != self.runner:
            self._places.stop(assignment, Killed(CLOSED), force=not activity.spec.is_async)
        elif (
            state.compensating is None
            and state.state is State.CANCELLING
            and (assignment.verdict is None or state.cancel_forced)
        ):
            self._places.stop(assignment, Killed("cancelled"), force=state.cancel_forced)

    async def _process(self, item: Item, spec: FunctionSpec) -> None:
        present = self.active.get(item.execution_id)
        if present is not None:
            if present.item.sequence == item.sequence:
                return
            # A newer activation: ours is over, since it was suspended or taken for lost. This one waits until it
            # has gone.
            with suppress(Unavailable):
                await self.look_again(item.execution_id)
            with suppress(TimeoutError):
                await asyncio.wait_for(present.ended.wait(), LEAVE_SECONDS)
            if item.execution_id in self.active:
                await item.give_back(1.0)
                return
        activity = Activity(item, spec, self._loop.time(), concerning(item.execution_id, item.function))
        activity.task = asyncio.current_task()
        self.active[item.execution_id] = activity
        try:
            await self._carry_through(activity)
        except Unavailable as error:
            logger.warning("log_unavailable", error=str(error))
            await item.give_back(1.0)
        except asyncio.CancelledError:
            await item.give_back()
        except Exception:
            # A mistake of ours must not hold back the others; the item comes again.
            logger.exception("execution_stuck")
            await item.give_back(OWNED_RETRY_SECONDS)
        finally:
            del self.active[item.execution_id]
            activity.ended.set()

    async def _carry_through(self, activity: Activity) -> None:
        slots = self._places.slots(activity.spec)
        await slots.take()
        try:
            await self._places.ready(activity.spec)
            if self.is_draining:
                await activity.item.give_back()
                return
            if not await self._start(activity):
                return
            ending = await self._run(activity)
        finally:
            slots.give_back()
        await self._record(activity, ending)
        await activity.item.ack()

    # Start.
    async def _start(self, activity: Activity) -> bool:
        """Make the activation ours. False when there is nothing to run, and the item is settled."""
        item = activity.item
        try:
            fact = decode_fact(item.data)
        except msgspec.MsgspecError:
            # Nothing that we wrote, and nothing that can be run.
            logger.warning("malformed_item", sequence=item.sequence)
            await item.ack()
            return False
        state: Execution | None
        if item.deliveries == 1 and isinstance(fact, Enqueued):
            # Fresh work needs no read: this fact is its whole history, or the append below is refused.
            activity.first = fact
            state = evolve(None, item.execution_id, fact, item.sequence)
        elif item.deliveries == 1 and (begun := await self._begun(item, fact)) is not None:
            activity.first, state = begun
        else:
            loaded = await self._log.load(item.execution_id, item.function)
            if loaded is None:
                await item.ack()
                return False
            activity.first, state, activity.snapshot = loaded
        activity.activation = fact.n
        activity.concern.learn(state)
        if is_pinned_elsewhere(state, activity.spec) and not await self._is_ours_now(activity, state):
            return False
        losses = activity.spec.losses if activity.spec.losses != losses_max else None
        start = Start(activation=fact.n, runner=self.runner, version=activity.spec.version, losses=losses)
        try:
            handled = await handle(
                self._log, item.execution_id, start, self._clock, self._dice, function=item.function, state=state
            )
        except Rejected as refusal:
            await self._refused(activity, refusal)
            return False
        activity.state = handled.state
        activity.concern.attempt = handled.state.attempt
        activity.woken_at = fact.at
        if handled.facts and not isinstance(handled.facts[0], Started):
            await item.ack()
            return False
        return True

    async def _is_ours_now(self, activity: Activity, state: Execution) -> bool:
        """Whether this version may go on with what another began; if not, the item is settled."""
        item, spec = activity.item, activity.spec
        if await self._versions.has(state.function, state.version):
            await item.give_back(ELSEWHERE_SECONDS)
            return False
        command = refusal(state, activity.activation, spec)
        if command is None:
            return True
        with suppress(Rejected):
            await handle(self._log, state.id, command, self._clock, self._dice, function=state.function, state=state)
        await item.ack()
        return False

    async def _begun(self, item: Item, fact: AnyFact | Unknown) -> tuple[Enqueued, Execution] | None:
        """An execution that has only just become runnable, after a delay or by its admission; None for any other."""
        if fact.n != 2 or not isinstance(fact, Due | Admitted):
            return None
        first = await self._log.first(item.execution_id, item.function)
        if first is None or not isinstance(first.fact, Enqueued):
            return None
        state = evolve(None, item.execution_id, first.fact, first.sequence)
        return first.fact, evolve(state, item.execution_id, fact, item.sequence)

    async def _refused(self, activity: Activity, refusal: Rejected) -> None:
        item = activity.item
        if refusal.code == "activation_owned":
            if await self._leases.is_alive(refusal.members["owner"]):
                await item.give_back(OWNED_RETRY_SECONDS)
                return
            lost = LoseAttempt(activation=activity.activation)
            with suppress(Rejected):
                await handle(self._log, item.execution_id, lost, self._clock, self._dice, function=item.function)
        else:
            loaded = await self._log.load(item.execution_id, item.function)
            if loaded is not None and loaded.state.wakes_at is not None:
                # Whoever closed the activation may have died between the fact and its wake-up.
                await self._timers.set(item.execution_id, START_WAIT, loaded.state.wakes_at)
        await item.ack()

    # Run.
    async def _run(self, activity: Activity) -> Ending:
        state, spec, number = activity.state, activity.spec, next(_numbers)
        try:
            given = await self._arguments.of(activity.first)
            members = await self._arguments.of_members(activity.first)
            outcomes = await self._outcomes(state)
        except (PayloadMissing, PayloadDamaged) as error:
            return Raised(number, "internal", type(error).__name__, str(error), "", terminal=True)
        run = Run(
            number=number,
            execution_id=state.id,
            function=state.function,
            attempt=state.attempt,
            args=given.args,
            kwargs=given.kwargs,
            trace_id=state.trace_id,
            event=given.event,
            metadata=state.metadata,
            parent_id=state.parent_id,
            root_id=state.root_id,
            outcomes=outcomes,
            started_at=state.started_at or state.updated_at,
            compensating=state.compensating is not None,
            members=members,
            tracestate=state.tracestate,
            baggage=state.baggage,
            span_id="" if spec.host == "python" else attempt_span(state.id, state.attempt),
        )
        capture = Capture(self._shipper, state.id, state.attempt, state.trace_id)
        assignment = Assignment(
            run, capture, self._requests.responder(activity, self._confirm), self._loop.create_future()
        )
        activity.assignment = assignment
        timeout = state.timeout / 1_000_000 if state.timeout is not None else spec.timeout
        total = None
        if state.deadline_at is not None and state.compensating is None:
            total = (state.deadline_at - self._clock()) / 1_000_000
        if total is not None or spec.heartbeat is not None:
            assignment.limits = TimeLimits(timeout, total, spec.heartbeat)
        try:
            await self._confirm(activity)
            return storable(await self._places.run(spec, assignment, timeout))
        finally:
            activity.assignment = None

    async def _outcomes(self, state: Execution) -> dict[str, Outcome]:
        """What earlier attempts, or the execution that this one restarts, left behind."""
        if not state.ops and state.inherited_ref is None:
            return {}
        if state.inherited_ref is not None:
            state = with_inherited(state, read_inherited(await self._payloads.get(state.inherited_ref)))
        return await outcomes_of(state, state.ops, self._payloads)

    # Record.
    async def _record(self, activity: Activity, ending: Ending) -> None:
        """Append the outcome and set the wake-up that must follow from it."""
        ref = None
        if isinstance(ending, Returned) and (ending.path or len(ending.result) > payload_inline_bytes_max):
            ref = f"{activity.state.id}-result-{activity.state.attempt}"
            await self._store(ref, ending)
        await self._durable.flush_progress(activity)
        if isinstance(ending, Killed) and ending.code == SUSPENDED:
            await self._lengths.ended(activity)
            return
        command = command_of(
            ending, activity.activation, activity.spec.policy, ref, pause=activity.spec.pause_on_failure
        )
        facts: Sequence[AnyFact] = ()
        try:
            if command is None:
                raise Rejected("activation_closed", "The attempt was stopped because its activation is over.")
            facts = await activity.carry_out(self._log, command, self._clock, self._dice)
        except Rejected:
            # The activation was closed by somebody else: our outcome is too late and counts for nothing.
            logger.info("outcome_too_late")
        for fact in facts:
            tell_outcome(fact)
            if isinstance(fact, RetryScheduled):
                await self._timers.set(activity.state.id, START_WAIT, fact.retry_at)
        if activity.state.is_final:
            await self._lengths.final(activity)
        else:
            await self._lengths.ended(activity)

    async def _store(self, name: str, ending: Returned) -> None:
        if not ending.path:
            await self._payloads.put(name, ending.result)
            return
        with open(ending.path, "rb") as file:  # noqa: ASYNC230 - read in chunks; each is a short read from the page cache
            await self._payloads.put(name, file)
        os.unlink(ending.path)
