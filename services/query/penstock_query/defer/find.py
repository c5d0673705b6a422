"""Executions and attempts by the ids that Defer's clients know, from the log: what was accepted is there at once."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from penstock.defer.attempts import Attempt, attempts_of
from penstock.defer.errors import cannot_find_execution
from penstock.defer.ids import Address, parse_id
from penstock.defer.shapes import ExecutionShape, attempt_shape, execution_shape, failure_shape
from penstock.defer.states import DeferState, state_of
from penstock.domain.errors import Rejected
from penstock.domain.execution.facts import Enqueued, ErrorInfo
from penstock.domain.execution.state import Execution
from penstock.handle import fold_recorded
from penstock.jetstream.lines import StoredLine
from penstock.ports import Recorded
from penstock_query.defer.values import Arguments, argument_list, inline_arguments
from penstock_query.history import Value, result_of
from penstock_query.view import View

_NO_ERROR = ErrorInfo(code="user_error", message="It ended without a result.")


class History(NamedTuple):
    """An execution with its facts and attempts, and which of them was asked for; None is the execution itself."""

    execution: Execution
    recorded: list[Recorded]
    attempts: list[Attempt]
    chosen: Attempt | None


class Outcome(NamedTuple):
    """A state, and what came of it where there is something: the result, or the error as Defer's result."""

    state: DeferState
    value: Value | None
    position: int


class Finder:
    """Every method raises Rejected `unknown_execution` in Defer's words for an id behind which there is nothing."""

    def __init__(self, view: View) -> None:
        self._view = view

    async def shape(self, text: str) -> tuple[ExecutionShape, int]:
        """The execution or attempt, and the position that it reflects."""
        if _address(text).attempt is None:
            execution = await self._present(text)
            return execution_shape(execution), execution.sequence
        history = await self.history(text)
        assert history.chosen is not None
        return attempt_shape(history.execution, history.chosen), history.execution.sequence

    async def history(self, text: str) -> History:
        """The execution and all its attempts."""
        address = _address(text)
        with _worded(text):
            recorded = await self._view.recorded(address.execution_id)
        # In a thread: a long history takes seconds, in which others want their answers too.
        execution, attempts = await asyncio.to_thread(_folded, recorded)
        if address.attempt is None:
            return History(execution, recorded, attempts, None)
        for attempt in attempts:
            if attempt.number == address.attempt:
                return History(execution, recorded, attempts, attempt)
        raise _unknown(text)

    async def outcome(self, text: str) -> Outcome:
        """How it stands, and what came of it."""
        if _address(text).attempt is None:
            execution = await self._present(text)
            state, error = state_of(execution), execution.error
            value = await self._result(execution) if state == "succeed" else None
        else:
            execution, recorded, _, attempt = await self.history(text)
            assert attempt is not None
            state, error = attempt.state, attempt.error
            value = result_of(recorded) if state == "succeed" else None
        if state == "failed":
            value = Value(msgspec.json.encode(failure_shape(error or _NO_ERROR)), None)
        return Outcome(state, value, execution.sequence)

    async def arguments(self, text: str) -> tuple[bytes, int]:
        """The array of arguments, and the position of the last fact."""
        history = await self.history(text)
        first = history.recorded[0].fact
        if not isinstance(first, Enqueued):
            raise _unknown(text)
        given = inline_arguments(first)
        if first.arguments_ref is not None:
            given = await self._stored(first.arguments_ref)
        return argument_list(given, first.members), history.execution.sequence

    async def lines(self, text: str) -> list[StoredLine]:
        """What user code has written in the execution, or in one attempt."""
        address = _address(text)
        execution = await self._present(text)
        first = last = address.attempt
        if first is None or last is None:
            first, last = 1, execution.attempt
        return await self._view.lines.read(address.execution_id, last, first)

    async def _present(self, text: str) -> Execution:
        with _worded(text):
            return await self._view.present(_address(text).execution_id)

    async def _result(self, execution: Execution) -> Value | None:
        """It stands in the last fact; the others of a long history need not be read for it."""
        read, function = self._view.log.read, execution.function
        last = result_of(await read(execution.id, function, after=execution.sequence - 1))
        return last if last is not None else result_of(await read(execution.id, function))

    async def _stored(self, reference: str) -> Arguments:
        try:
            stored = b"".join([chunk async for chunk in self._view.objects.chunks(reference)])
        except LookupError:
            raise Rejected("internal", f"The stored value {reference} is not in the object store.") from None
        return msgspec.json.decode(stored, type=Arguments)


def _folded(recorded: list[Recorded]) -> tuple[Execution, list[Attempt]]:
    execution = fold_recorded(recorded)
    assert execution is not None
    return execution, attempts_of(entry.fact for entry in recorded)


def _address(text: str) -> Address:
    address = parse_id(text)
    if address is None:
        raise _unknown(text)
    return address


@contextmanager
def _worded(text: str) -> Iterator[None]:
    try:
        yield
    except Rejected as refusal:
        if refusal.code == "unknown_execution":
            raise _unknown(text) from None
        raise


def _unknown(text: str) -> Rejected:
    return Rejected("unknown_execution", cannot_find_execution(text))
