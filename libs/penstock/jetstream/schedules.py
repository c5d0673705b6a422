"""Schedules in the log: read as they are now, and append what is decided, together with the executions it makes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from penstock.domain.execution.facts import Enqueued, opens_activation
from penstock.domain.schedule.decide import wakes_at
from penstock.domain.schedule.facts import AnyScheduleFact, SchedulePut, ScheduleResumed, SchedulesDeclared, Ticked
from penstock.domain.schedule.state import Schedule, evolve, fold
from penstock.jetstream.commit import Message
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.reader import StoredMessage
from penstock.ports import Conflict, Unavailable
from penstock.wire.codec import decode_declared, decode_schedule_fact, encode_fact, encode_schedule_fact

READS_MAX = 10
DECLARED = "schedules_declared"


class NewExecution(NamedTuple):
    """An execution that a tick makes."""

    execution_id: str
    fact: Enqueued


class ScheduleLog:
    """The schedules of an environment."""

    def __init__(self, log: JetStreamLog, stamp: Callable[[Enqueued], Enqueued] | None = None) -> None:
        """`stamp` lets flow control have its say about the executions of ticks."""
        self._log = log
        self._stamp = stamp
        self._names = log.names

    async def read(self, key: str) -> Schedule | None:
        """The schedule now, deleted ones included; None if there never was one. Raises Unavailable."""
        reader, stream, names = self._log.reader, self._names.executions, self._names
        tick = await reader.last(stream, names.schedule_subject(key, "tick"))
        for _ in range(READS_MAX):
            # The facts are whole only up to a tick that was the last one before and after they were read.
            said = await reader.subject(stream, names.schedule_subject(key, "fact"))
            again = await reader.last(stream, names.schedule_subject(key, "tick"))
            if (again.sequence if again else 0) == (tick.sequence if tick else 0):
                return _folded([*said, *([tick] if tick else [])])
            tick = again
        raise Unavailable(f"schedule {key} changed {READS_MAX} times while it was read")

    async def append(
        self, key: str, fact: AnyScheduleFact, expected: int, made: Sequence[NewExecution] = ()
    ) -> tuple[int, AnyScheduleFact]:
        """Store a fact and the first facts of new executions together: all of them or none.

        Answers with the sequence of the fact of the schedule, and that fact. Raises Conflict when the schedule is not
        at `expected` any more or one of the executions exists, and Unavailable.
        """
        names, fact_id = self._names, self._log.next_id()
        fact = replace(fact, id=fact_id)
        subject = names.schedule_subject(key, "tick" if isinstance(fact, Ticked) else "fact")
        messages = [Message(subject, encode_schedule_fact(fact), names.schedule_filter(key), expected)]
        for each in made:
            first = self._stamp(each.fact) if self._stamp is not None else each.fact
            kind = "run" if opens_activation(first) else "fact"
            where = names.fact_subject(each.execution_id, first.function, kind)  # type: ignore[arg-type]
            data = encode_fact(replace(first, id=fact_id))
            messages.append(Message(where, data, names.history_filter(each.execution_id), 0))

        async def read_back() -> int | None:
            last = await self._log.reader.last(names.executions, subject)
            stored = decode_schedule_fact(last.data) if last is not None else None
            if last is None or stored is None or stored.id != fact_id:
                return None
            return last.sequence + len(messages) - 1

        last = await self._log.append_group(messages, read_back)
        return last - len(messages) + 1, fact

    async def change(self, key: str, state: Schedule | None, fact: AnyScheduleFact) -> Schedule:
        """Store one fact about a schedule as it was read, and answer with the schedule afterwards."""
        if isinstance(fact, SchedulePut | ScheduleResumed):
            after = evolve(state, fact, 0)
            fact = replace(fact, wakes_at=wakes_at(after, after.cursor, fact.at))
        sequence, stored = await self.append(key, fact, state.sequence if state is not None else 0)
        return evolve(state, stored, sequence)

    async def exists(self, execution_id: str, function: str) -> bool:
        """Whether this execution was made."""
        return bool(await self._log.read(execution_id, function))

    async def declared(self, app: str) -> tuple[int, SchedulesDeclared | None]:
        """What the app declared last, and where that stands."""
        last = await self._log.read_system(DECLARED, app)
        return (last.sequence, decode_declared(last.data)) if last is not None else (0, None)

    async def declare(self, fact: SchedulesDeclared) -> None:
        """Tell the whole set of an app's schedules, unless it was told just so. Raises Unavailable."""
        subject = self._names.system_subject(DECLARED, fact.app)
        for _ in range(READS_MAX):
            sequence, known = await self.declared(fact.app)
            if known is not None and _same(known, fact):
                return
            fact = replace(fact, id=self._log.next_id())
            message = Message(subject, encode_schedule_fact(fact), subject, sequence)
            try:
                await self._log.append_group([message], self._no_read_back)
            except Conflict:
                continue  # another runner told it meanwhile, or our own answer was lost: compare again
            return
        raise Unavailable(f"the schedules of {fact.app} were declared by others {READS_MAX} times in a row")

    async def _no_read_back(self) -> int | None:
        return None


def _same(one: SchedulesDeclared, other: SchedulesDeclared) -> bool:
    return one.schedules.keys() == other.schedules.keys() and all(
        spec.same_as(other.schedules[key]) for key, spec in one.schedules.items()
    )


def _folded(messages: Sequence[StoredMessage]) -> Schedule | None:
    """What is no fact that we know still counts for the sequence: later appends must expect it."""
    messages = sorted(messages, key=lambda each: each.sequence)
    facts = ((message.sequence, decode_schedule_fact(message.data)) for message in messages)
    state = fold((sequence, fact) for sequence, fact in facts if fact is not None)
    return replace(state, sequence=messages[-1].sequence) if state is not None else None
