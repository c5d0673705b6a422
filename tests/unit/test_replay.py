"""Code that changed under a running execution, and what must be the same on every replay."""

import asyncio
from typing import Any

import pytest

from penstock import App, Context
from penstock.domain.errors import Rejected
from penstock.testing import Run, Simulation

app = App("replay")
code: dict[str, Any] = {}
"""What the functions below do: tests change it between two attempts, as a deploy does."""


@app.function
async def follows(ctx: Context) -> list[Any]:
    return [await perform(ctx, what) for what in code["plan"]]


@app.function(pause_on_failure=True)
async def follows_with_care(ctx: Context) -> list[Any]:
    return [await perform(ctx, what) for what in code["plan"]]


@app.function
def follows_plainly(ctx: Context) -> list[Any]:
    return [ctx.sleep("1s") if what == "sleep" else _wait(ctx, what) for what in code["plan"]]


def _wait(ctx: Context, what: str) -> Any:
    return ctx.receive("go") if what == "receive" else ctx.step(what, lambda: what)


async def perform(ctx: Context, what: str) -> Any:
    if what == "sleep":
        return await ctx.sleep("1s")
    if what == "receive":
        return await ctx.receive("go")
    return await ctx.step(what, lambda: what)


def interrupted(function: Any, before: list[str], after: list[str]) -> Run:
    """An execution that waited for a message in the old code and goes on in the new."""
    code["plan"] = before
    run = Simulation(app).call(function)
    assert run.state == "waiting"
    code["plan"] = after
    return run.send("go on", "go")


@pytest.mark.parametrize("function", [follows, follows_plainly])
@pytest.mark.parametrize(
    ("after", "expected", "actual"),
    [
        (["b", "receive", "c"], "a", "b"),
        (["new", "a", "receive"], "a", "new"),
        (["a", "sleep", "receive"], "receive~go", "sleep"),
        (["a"], "receive~go", "the end of the function"),
    ],
    ids=["renamed", "inserted", "another wait", "shortened"],
)
def test_code_that_does_something_else_than_it_did_has_diverged(
    function: Any, after: list[str], expected: str, actual: str
) -> None:
    """It fails without retry, naming what was expected and what came instead."""
    run = interrupted(function, ["a", "receive", "c"], after)
    assert (run.state, run.error.code if run.error else "") == ("failed", "diverged")
    assert run.error is not None
    assert repr(expected) in run.error.message
    assert repr(actual) in run.error.message


def test_code_that_goes_on_where_it_was_has_not_diverged() -> None:
    """What lies ahead may change."""
    assert interrupted(follows, ["a", "receive", "c"], ["a", "receive", "d", "e"]).result() == ["a", "go on", "d", "e"]


def test_diverged_code_waits_for_a_fix_where_that_is_asked_for() -> None:
    """With the right code back it goes on."""
    run = interrupted(follows_with_care, ["a", "receive", "c"], ["b", "receive"])
    assert (run.state, run.error.code if run.error else "") == ("waiting", "diverged")
    code["plan"] = ["a", "receive", "c"]
    assert run.resume().result() == ["a", "go on", "c"]


@app.function
async def makes_things_up(ctx: Context) -> list[str]:
    return [str([ctx.now(), ctx.random(), ctx.uuid()]) for _ in range(2) if await ctx.step("x", lambda: True)]


def test_time_chance_and_uuids_are_the_same_on_every_replay() -> None:
    """And differ from each other."""
    once = Simulation(app).call(makes_things_up).result()
    assert Simulation(app, replay=True).call(makes_things_up).result() == once
    assert once[0] != once[1]


@app.function
async def misuses(ctx: Context, how: str) -> None:
    match how:
        case "name":
            await ctx.step("a#2", lambda: 1)
        case "key":
            print(ctx.step_key)
        case "retry once":
            await ctx.step("a", lambda: 1, retry=1, at_most_once=True)
        case "backoff":
            await ctx.step("a", lambda: 1, retry=-1)
        case "event":
            await ctx.wait_for_event("not a name")
        case "nothing":
            await ctx.wait_for_any()
        case "call":
            await ctx.call(print)


@pytest.mark.parametrize("how", ["name", "key", "retry once", "backoff", "event", "nothing", "call"])
def test_misuse_is_told_at_once(how: str) -> None:
    """With the reason in the error of the attempt."""
    run = Simulation(app).call(misuses, how)
    assert run.state == "failed"
    assert run.error is not None
    assert run.error.type == Rejected.__name__


@app.function(pause_on_failure=True)
async def at_most_once(ctx: Context) -> str:
    return str(await ctx.step("pay", lambda: "paid", at_most_once=True))


def test_the_error_of_a_step_that_runs_at_most_once_is_kept() -> None:
    """A later attempt raises it again, and a new execution from this step runs it."""
    run = Simulation(app).fail("pay", error=ValueError("no money")).call(at_most_once)
    run.resume()
    assert (run.state, run.attempt) == ("waiting", 2)
    assert run.error is not None
    assert "no money" in run.error.message
    assert run.rerun(from_step="pay").result() == "paid"


def test_a_step_that_runs_at_most_once_is_not_run_again_after_a_loss() -> None:
    """Nobody knows whether it was done, and the execution says so."""
    run = Simulation(app).lose("pay", after=True).call(at_most_once)
    assert (run.state, run.error.code if run.error else "") == ("waiting", "step_interrupted")


@app.function
async def as_they_come(ctx: Context, ways: str) -> list[Any]:
    async def work(number: int) -> int:
        await asyncio.sleep((7 * number % 5) / 100)
        return number

    found: list[Any] = []

    async def branch(number: int) -> None:
        done = await ctx.step("work", work, number)
        found.append([done, await ctx.step("save", lambda: done)])

    if ways == "as_completed":
        for coming in asyncio.as_completed([ctx.step("work", work, number) for number in range(5)]):
            number = await coming
            found.append([number, await ctx.step("save", lambda number=number: number)])
    elif ways == "gather":
        await asyncio.gather(*(branch(number) for number in range(5)))
    else:
        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(branch(number))
    await ctx.sleep("1h")
    return found


@pytest.mark.parametrize("ways", ["as_completed", "gather", "group"])
def test_what_ran_side_by_side_ends_in_the_same_order_on_every_replay(ways: str) -> None:
    """So that steps which take turns at one name keep their own results."""
    for seed in range(3):
        run = Simulation(app, seed=seed).call(as_they_come, ways)
        assert run.kinds.count("started") == 2
        assert all(worked == saved for worked, saved in run.result()), run.result()
        assert sorted(worked for worked, _ in run.result()) == list(range(5))
