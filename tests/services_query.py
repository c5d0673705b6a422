"""Histories for tests of the view."""

import random
from collections.abc import Sequence
from typing import Any

from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.decide import decide
from penstock.domain.execution.evolve import evolve
from penstock.domain.execution.retries import RetryPolicy
from penstock.domain.execution.state import Execution
from penstock.ports import LogEntry
from penstock.wire.codec import encode_fact
from penstock.wire.names import Names

BOOM = f.ErrorInfo(code="user_error", type="ValueError", message="boom")


def entries_of(
    names: Names, histories: Sequence[tuple[str, Sequence[Any]]], shuffle: random.Random | None = None
) -> list[LogEntry]:
    """The log of these histories, one after the other, or mixed at random with each in its own order."""
    queue = [(execution_id, list(facts)) for execution_id, facts in histories]
    entries: list[LogEntry] = []
    while queue:
        index = shuffle.randrange(len(queue)) if shuffle is not None else 0
        execution_id, facts = queue[index]
        fact = facts.pop(0)
        kind = "run" if f.opens_activation(fact) else "end" if f.is_end(fact, False) else "fact"
        subject = names.fact_subject(execution_id, "work", kind)  # type: ignore[arg-type]
        entries.append(LogEntry(len(entries) + 1, subject, encode_fact(fact)))
        if not facts:
            del queue[index]
    return entries


def legal_history(dice: random.Random) -> list[tuple[str, list[f.AnyFact]]]:
    """Several executions, each driven by random commands through the rules."""
    return [_one(f"{dice.getrandbits(128) | 1:032x}", dice) for _ in range(dice.randint(1, 6))]


def _one(execution_id: str, dice: random.Random) -> tuple[str, list[f.AnyFact]]:
    now = dice.randint(1, 10**15)
    first = f.Enqueued(
        n=1,
        at=now,
        function="work",
        trace_id=execution_id,
        run_at=now + 50 if dice.random() < 0.3 else None,
        metadata={"k": str(dice.randint(0, 3))} if dice.random() < 0.5 else {},
        event_id="ev" if dice.random() < 0.3 else None,
    )
    facts: list[f.AnyFact] = []
    state: Execution | None = None
    command: c.AnyCommand = c.Enqueue(fact=first)
    for _ in range(dice.randint(1, 50)):
        try:
            new = decide(state, command, now, dice.random())
        except Rejected:
            new = []
        for fact in new:
            state = evolve(state, execution_id, fact)
        facts.extend(new)
        assert state is not None
        now += dice.randint(1, 100)
        command = _any_command(state, now, dice)
    return execution_id, facts


def _any_command(state: Execution, now: int, dice: random.Random) -> c.AnyCommand:
    activation = state.activation
    policy = RetryPolicy(retries=3, shape="fixed", initial=0.00001)
    return dice.choice(
        [
            c.Start(activation=activation, runner=dice.choice(["r1", "r2"])),
            c.Start(activation=activation, runner="r1"),
            c.CompleteStep(activation=activation, step=f"s{dice.randint(0, 9)}", started_at=now, result=Raw(b"1")),
            c.Fail(activation=activation, error=BOOM, policy=policy),
            c.LoseAttempt(activation=activation, reason=dice.choice(["lapsed", "drained"])),
            c.WakeUp(),
            c.Reschedule(run_at=now + 10),
            c.Succeed(activation=activation, result=Raw(b"7")) if dice.random() < 0.3 else c.WakeUp(),
            c.RequestCancel() if dice.random() < 0.2 else c.WakeUp(),
            *_durable_commands(state, now, dice),
        ]
    )


def _durable_commands(state: Execution, now: int, dice: random.Random) -> list[c.AnyCommand]:
    """What code that waits does, and what is done to it."""
    activation, child = state.activation, "c1" * 16
    waits = [
        f.Wait(key="nap", wait="sleep", until=now + dice.randint(0, 99)),
        f.Wait(key="paid", wait="event", name="paid", group=dice.choice(["", "g"])),
        f.Wait(key="receive", wait="message", name="default", group=dice.choice(["", "g"])),
        f.Wait(key="call", wait="children", children=[child], until=dice.choice([None, now + 50])),
    ]
    chosen = dice.sample(waits, dice.randint(1, 2))
    policy = RetryPolicy(retries=1, shape="fixed", initial=0.00001)
    return [
        c.OpenWaits(activation=activation, waits=chosen, suspends=dice.random() < 0.7),
        c.OpenWaits(activation=activation, waits=chosen, suspends=True),
        c.CompleteWait(wait="paid", outcome="event", source="e1", early=dice.random() < 0.2),
        c.ReceiveMessage(message=f"m{dice.randint(0, 3)}", channel="default", body=Raw(b"1")),
        c.CallChildren(activation=activation, call="call", children=[f.Child(id=child, function="add")]),
        c.CompleteChild(child=child, state="succeeded"),
        c.CompleteStep(
            activation=activation, step=dice.choice(["a", "b", "a~undo"]), started_at=now, result=Raw(b"1"), undo=True
        ),
        c.FailStep(activation=activation, step="a", started_at=now, error=BOOM, policy=policy),
        c.ReportProgress(activation=activation, done=dice.randint(0, 9), total=9),
        c.Fail(activation=activation, error=BOOM, policy=policy, pause=dice.random() < 0.5, terminal=True),
        c.Resume(),
        c.FinishCompensation(activation=activation),
    ]
