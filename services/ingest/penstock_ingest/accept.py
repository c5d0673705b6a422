"""Storing first facts: created once, and a repeated request is told from a conflicting one."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.execution.create import arguments_hash
from penstock.domain.execution.facts import Enqueued
from penstock.domain.execution.state import State
from penstock.handle import fold_recorded
from penstock.ports import Append, Conflict, ExecutionLog, ObjectStore, Timers, Unavailable
from penstock.service.gate import Gate
from penstock.wire.names import START_WAIT
from penstock_ingest.drafts import Draft


class Accepted(msgspec.Struct, frozen=True, omit_defaults=True):
    """An execution that is durable. `sequence` is its position in the log."""

    id: str
    state: str
    sequence: str
    trace_id: str
    trace_url: str | None = None


Verdict = Accepted | Rejected | Unavailable


class Acceptor:
    """Arguments to the object store, the fact to the log, the wake-up to the timers: in this order."""

    def __init__(self, log: ExecutionLog, payloads: ObjectStore, timers: Timers, trace_url: str, gate: Gate) -> None:
        self._log = log
        self._payloads = payloads
        self._timers = timers
        self._trace_url = trace_url
        self._gate = gate

    async def accept(self, draft: Draft) -> Accepted:
        """Store one execution. Raises Rejected, `idempotency_conflict` or for its flow keys, or Unavailable."""
        draft = self._gated(draft)
        if draft.upload is not None and draft.fact.arguments_ref is not None:
            await self._payloads.put(draft.fact.arguments_ref, draft.upload)
        try:
            sequence = await self._log.append(_append(draft))
        except Conflict:
            return await self._existing(draft)
        return await self._created(draft, sequence)

    async def accept_many(self, drafts: Sequence[Draft]) -> list[Verdict]:
        """One verdict each, in order."""
        drafts = list(drafts)
        first_of: dict[str, int] = {}
        repeats: list[int] = []
        verdicts: list[Verdict | None] = [None] * len(drafts)
        for index, draft in enumerate(drafts):
            if draft.upload is not None or first_of.setdefault(draft.execution_id, index) != index:
                repeats.append(index)
        alone = set(repeats)
        batch = [index for index in range(len(drafts)) if index not in alone]
        ready: list[int] = []
        for index in batch:
            try:
                drafts[index] = self._gated(drafts[index])
                ready.append(index)
            except Rejected as refusal:
                verdicts[index] = refusal
        batch = ready
        results = await self._log.append_many([_append(drafts[index]) for index in batch])
        for index, result in zip(batch, results, strict=True):
            draft = drafts[index]
            if isinstance(result, int) and draft.fact.run_at is None:
                verdicts[index] = self.accepted(draft.execution_id, draft.fact.trace_id, State.QUEUED, result)
            elif isinstance(result, Unavailable):
                verdicts[index] = result
            else:
                verdicts[index] = await self._verdict(draft, result)
        # One after the other: a repeat is compared with what the first of them stored.
        for index in repeats:
            verdicts[index] = await self._verdict(drafts[index], None)
        return [verdict for verdict in verdicts if verdict is not None]

    def accepted(self, execution_id: str, trace_id: str, state: str, sequence: int) -> Accepted:
        url = self._trace_url.replace("{trace_id}", trace_id) if self._trace_url else None
        return Accepted(execution_id, str(state), f"x:{sequence}", trace_id, url)

    async def known(self, execution_id: str) -> Accepted | None:
        """An execution that exists already, as it is now."""
        state = fold_recorded(await self._log.find(execution_id))
        return None if state is None else self.accepted(state.id, state.trace_id, state.state, state.sequence)

    def _gated(self, draft: Draft) -> Draft:
        return draft._replace(fact=self._gate.stamp(draft.fact, draft.upload))

    async def _verdict(self, draft: Draft, result: int | Conflict | None) -> Verdict:
        try:
            if result is None:
                return await self.accept(draft)
            if isinstance(result, int):
                return await self._created(draft, result)
            return await self._existing(draft)
        except (Rejected, Unavailable) as refusal:
            return refusal

    async def _created(self, draft: Draft, sequence: int) -> Accepted:
        state = State.QUEUED
        if draft.fact.run_at is not None:
            state = State.SCHEDULED
            await self._timers.set(draft.execution_id, START_WAIT, draft.fact.run_at)
        return self.accepted(draft.execution_id, draft.fact.trace_id, state, sequence)

    async def _existing(self, draft: Draft) -> Accepted:
        recorded = await self._log.read(draft.execution_id, draft.fact.function)
        if not recorded:
            recorded = await self._log.find(draft.execution_id)
        state = fold_recorded(recorded)
        if state is None:
            raise Unavailable(f"execution {draft.execution_id} was there and is not any more")
        first = recorded[0].fact
        if not isinstance(first, Enqueued) or not same_request(first, draft.fact):
            raise Rejected(
                "idempotency_conflict",
                f"Execution {state.id} of {state.function} was started by the same key or id with other content.",
                execution_id=state.id,
                function=state.function,
            )
        if state.state is State.SCHEDULED and state.wakes_at is not None:
            # Whoever came first may have died between the fact and the wake-up.
            await self._timers.set(state.id, START_WAIT, state.wakes_at)
        return self.accepted(state.id, state.trace_id, state.state, state.sequence)


def _append(draft: Draft) -> Append:
    return Append(execution_id=draft.execution_id, function=draft.fact.function, facts=[draft.fact], expected=0)


def same_request(stored: Enqueued, wanted: Enqueued) -> bool:
    """True if both ask for the same: function, arguments and event by value. Options do not count."""
    if stored.function != wanted.function or stored.rerun_of != wanted.rerun_of:
        return False
    if stored.restarted_from != wanted.restarted_from:
        return False
    if (stored.event is None) != (wanted.event is None):
        return False
    if stored.event is not None and wanted.event is not None and _essence(stored.event) != _essence(wanted.event):
        return False
    return _content(stored) == _content(wanted)


def _content(fact: Enqueued) -> str:
    if fact.arguments_ref is not None:
        return fact.arguments_ref.rpartition("-")[2]
    return fact.content_hash or arguments_hash(fact.args, fact.kwargs)


def _essence(event: Raw) -> tuple[Any, ...]:
    """What makes two deliveries of an event the same one: not when or by whom it was sent."""
    fields = msgspec.json.decode(event)
    return fields.get("name"), fields.get("data"), fields.get("data_base64")


async def breathe(count: int, every: int = 100) -> None:
    """Let others run within a long batch."""
    if count % every == every - 1:
        await asyncio.sleep(0)
