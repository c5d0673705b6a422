"""What code does when it is made to leave, and after errors that its next attempt does not meet."""

from typing import Any

import pytest

from penstock import App, Context, wait
from penstock.testing import Simulation

app = App("leaving")
journal: list[str] = []


def note(what: str) -> str:
    journal.append(what)
    return what


def fails_once(what: str) -> str:
    if note(what) in journal[:-1]:
        return what
    raise OSError("busy")


@app.function
async def releases(ctx: Context) -> None:
    await ctx.step("take", note, "take")
    try:
        await ctx.sleep("1h")
        await ctx.step("use", note, "use")
    finally:
        await ctx.step("release", note, "release")


@app.function
def releases_plainly(ctx: Context) -> None:
    ctx.step("take", note, "take")
    try:
        ctx.sleep("1h")
        ctx.step("use", note, "use")
    finally:
        ctx.step("release", note, "release")


@app.function(retries=1)
async def reports(ctx: Context) -> str:
    try:
        await ctx.step("charge", fails_once, "charge")
    except OSError:
        await ctx.step("report", note, "report")
        raise
    return str(await ctx.step("ship", note, "ship"))


@app.function(retries=1)
def reports_plainly(ctx: Context) -> str:
    try:
        ctx.step("charge", fails_once, "charge")
    except OSError:
        ctx.step("report", note, "report")
        raise
    return str(ctx.step("ship", note, "ship"))


@app.function
async def books(ctx: Context) -> None:
    await ctx.step("book", note, "book", undo=lambda _: note("undo"))
    try:
        await ctx.receive()
    finally:
        await ctx.step("release", note, "release")


@app.function
def books_plainly(ctx: Context) -> None:
    ctx.step("book", note, "book", undo=lambda _: note("undo"))
    ctx.step("room", note, "room", undo=lambda _: note("undo room"))
    try:
        ctx.receive()
    finally:
        ctx.step("release", note, "release")


@app.function
async def listens(ctx: Context) -> None:
    await ctx.receive()


@app.function
async def calls(ctx: Context) -> None:
    await ctx.call(listens.options(idempotency_key="one"))


@app.function
async def chooses(ctx: Context) -> int:
    first = await ctx.wait_for_any(wait.call(listens.options(idempotency_key="one")), wait.sleep("1s"))
    return int(first.which)


@pytest.fixture(autouse=True)
def _empty() -> None:
    journal.clear()


@pytest.fixture(params=[False, True], ids=["once", "replayed"])
def simulation(request: pytest.FixtureRequest) -> Simulation:
    return Simulation(app, replay=request.param)


@pytest.mark.parametrize("function", [releases, releases_plainly])
def test_leaving_for_a_wait_runs_no_step(simulation: Simulation, function: Any) -> None:
    """A step that cleans up runs when the code comes to it, not each time that it waits."""
    assert simulation.call(function).state == "succeeded"
    assert journal == ["take", "use", "release"]


@pytest.mark.parametrize("function", [reports, reports_plainly])
def test_what_is_done_about_an_error_binds_no_later_attempt(simulation: Simulation, function: Any) -> None:
    """The step that did not fail again is followed by another one, and that is no divergence."""
    assert simulation.call(function).result() == "ship"
    assert journal == ["charge", "report", "charge", "ship"]


def test_undoing_runs_no_step_behind_the_end_of_the_history(simulation: Simulation) -> None:
    """What cleans up in the code has not been come to, so it is not done."""
    run = simulation.call(books)
    run.cancel()
    assert (run.state, journal) == ("cancelled", ["book", "undo"])


def test_a_plain_function_is_undone_step_by_step(simulation: Simulation) -> None:
    """Every stored step on the way to the end of its history is come to, not only the first."""
    run = simulation.call(books_plainly)
    run.cancel()
    assert (run.state, journal) == ("cancelled", ["book", "room", "undo room", "undo"])


def test_giving_up_a_child_of_another_does_not_cancel_it(simulation: Simulation) -> None:
    """An idempotency key led to it, and the one who made it still waits."""
    parent = simulation.call(calls)
    assert simulation.call(chooses).result() == 1
    assert [run.state for run in [parent, *simulation.runs("listens")]] == ["waiting", "waiting"]
