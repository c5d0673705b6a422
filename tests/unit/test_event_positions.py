"""Which events end the waits of code that waits for several of one name."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from penstock import App, Context, Event
from penstock.domain.execution.evolve import fold
from penstock.functions.translate import events_since
from penstock.testing import Simulation
from unit.durable_histories import RUNNING, event, opened, step, woken

app = App("events")


async def both(ctx: Context) -> list[int]:
    return [await number(ctx), await number(ctx)]


async def number(ctx: Context) -> int:
    found = await ctx.wait_for_event("order.paid")
    assert isinstance(found, Event)
    return int(found.data["n"])


@app.function
async def waits(ctx: Context) -> list[int]:
    return await both(ctx)


@app.function
async def works_beside(ctx: Context) -> list[int]:
    done = asyncio.Event()

    async def consume() -> list[int]:
        try:
            return await both(ctx)
        finally:
            done.set()

    return (await asyncio.gather(consume(), done.wait()))[0]


@pytest.mark.parametrize("function", [waits, works_beside])
def test_an_event_ends_one_of_two_waits_after_each_other(function: Any) -> None:
    """The second waits for the next event, also when the code was never suspended between them."""
    simulation = Simulation(app, patience=0.1)
    run = simulation.call(function)
    simulation.send_event("order.paid", {"n": 1})
    assert run.state != "succeeded"
    simulation.send_event("order.paid", {"n": 2})
    assert run.result() == [1, 2]


def test_events_count_from_the_newest_event_that_ended_a_wait() -> None:
    """Or from the beginning of the activation, whichever is later."""
    facts = (*RUNNING, opened(3, event(), suspends=False), woken(4, "approved", "event", at=50), step(5, at=70))
    state = fold("e1", enumerate(facts, start=1))
    assert state is not None
    assert (events_since(state, 40), events_since(state, 60)) == (50, 60)
    assert events_since(replace(state, ops={}), 40) == 40
