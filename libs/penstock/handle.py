"""Read, fold, decide, append, and again when the history moved on: the only such loop in the project."""

from collections.abc import Sequence

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import AnyCommand
from penstock.domain.execution.decide import decide
from penstock.domain.execution.evolve import evolve
from penstock.domain.execution.facts import AnyFact, Unknown
from penstock.domain.execution.state import Execution
from penstock.ports import Append, Clock, Conflict, Dice, ExecutionLog, Recorded, Unavailable

TRIES_MAX = 20


def fold_recorded(recorded: Sequence[Recorded], state: Execution | None = None) -> Execution | None:
    """The state after these stored facts."""
    for entry in recorded:
        state = evolve(state, entry.execution_id, entry.fact, entry.sequence)
    return state


def evolve_all(state: Execution | None, execution_id: str, facts: Sequence[AnyFact | Unknown], last: int) -> Execution:
    """The state after facts just appended, the last of which stands at `last`."""
    for fact in facts:
        state = evolve(state, execution_id, fact, last)
    assert state is not None
    return state


class Handled:
    """What came of a command: the state afterwards and the facts that were appended (none: nothing had to happen)."""

    __slots__ = ("facts", "state")

    def __init__(self, state: Execution, facts: Sequence[AnyFact]) -> None:
        self.state = state
        self.facts = facts


async def load(log: ExecutionLog, execution_id: str, function: str | None) -> Execution | None:
    """The execution as the log has it now."""
    function = function or await log.function_of(execution_id)
    loaded = await log.load(execution_id, function) if function is not None else None
    return loaded.state if loaded is not None else None


async def _newer(log: ExecutionLog, known: Execution | None) -> Execution | None:
    """The execution after what was stored meanwhile; None to read it from the beginning."""
    if known is None or known.trace_id == "":
        # Nothing is known, or only what a summary says.
        return None
    recorded = await log.read(known.id, known.function, after=known.sequence)
    follows = bool(recorded) and recorded[0].fact.n <= known.n + 1
    return fold_recorded(recorded, known) if follows else None


async def handle(
    log: ExecutionLog,
    execution_id: str,
    command: AnyCommand,
    clock: Clock,
    dice: Dice,
    *,
    function: str | None = None,
    state: Execution | None = None,
) -> Handled:
    """Carry out one command. `state` saves the read when the caller already knows it.

    Raises Rejected from the rules and Unavailable from the log.
    """
    known = state
    for number in range(TRIES_MAX):
        if known is None:
            known = await load(log, execution_id, function)
        facts = decide(known, command, clock(), dice())
        if not facts:
            assert known is not None
            return Handled(known, facts)
        name = known.function if known is not None else function
        assert name is not None, "the first fact of an execution needs the name of its function"
        entry = Append(
            execution_id=execution_id,
            function=name,
            facts=facts,
            expected=known.sequence if known is not None else 0,
            is_awaited=known is not None and known.is_awaited,
        )
        try:
            last = await log.append(entry)
        except Conflict:
            # Once by the new facts alone; then all of it, in case something stands there that is none.
            known = await _newer(log, known) if number % 2 == 0 else None
            continue
        return Handled(evolve_all(known, execution_id, facts, last), facts)
    raise Unavailable(f"execution {execution_id} was changed by others {TRIES_MAX} times in a row")


async def handle_all(
    log: ExecutionLog,
    execution_id: str,
    commands: Sequence[AnyCommand],
    clock: Clock,
    dice: Dice,
    *,
    function: str | None = None,
) -> list[Handled | Rejected]:
    """Carry out several commands to one execution: one read, one append, one verdict each in their order.

    The states in the verdicts are those after all of them. Raises Unavailable.
    """
    for _ in range(TRIES_MAX):
        before = await load(log, execution_id, function)
        after, decided = before, list[Sequence[AnyFact] | Rejected]()
        for command in commands:
            try:
                facts = decide(after, command, clock(), dice())
            except Rejected as refusal:
                decided.append(refusal)
                continue
            decided.append(facts)
            for fact in facts:
                after = evolve(after, execution_id, fact, after.sequence if after is not None else 0)
        new = [fact for each in decided if not isinstance(each, Rejected) for fact in each]
        if before is not None and after is not None and new:
            entry = Append(
                execution_id=execution_id,
                function=before.function,
                facts=new,
                expected=before.sequence,
                is_awaited=before.is_awaited,
            )
            try:
                last = await log.append(entry)
            except Conflict:
                continue
            after = evolve_all(before, execution_id, new, last)
        return [each if isinstance(each, Rejected) else Handled(_known(after), each) for each in decided]
    raise Unavailable(f"execution {execution_id} was changed by others {TRIES_MAX} times in a row")


async def handle_known(
    log: ExecutionLog, states: Sequence[Execution], command: AnyCommand, clock: Clock, dice: Dice
) -> list[bool]:
    """Carry out one command on many executions whose state may be known, in one go and without a read.

    True where that is done. False where nothing follows, where the state was out of date, or where it is not known what
    became of it: `handle` those. Raises Rejected from the rules.
    """
    entries: dict[int, Append] = {}
    for index, state in enumerate(states):
        facts = decide(state, command, clock(), dice())
        if facts:
            entries[index] = Append(
                execution_id=state.id,
                function=state.function,
                facts=facts,
                expected=state.sequence,
                is_awaited=state.is_awaited,
            )
    verdicts = dict(zip(entries, await log.append_many(list(entries.values())), strict=True))
    return [isinstance(verdicts.get(index), int) for index in range(len(states))]


def _known(state: Execution | None) -> Execution:
    assert state is not None, "a command to an execution that does not exist is rejected"
    return state
