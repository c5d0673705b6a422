"""One function for each kind of history that traces are made of."""

from penstock import App, Batch, Context, Event, Fixed

app = App("traced-shop")


@app.function
def plain(a: int) -> int:
    return a


@app.function(retries=1, backoff=Fixed("50ms"))
def unsteady(ctx: Context) -> int:
    if ctx.attempt == 1:
        raise ValueError("not yet")
    return ctx.attempt


tries: list[int] = []


def count() -> int:
    tries.append(1)
    if len(tries) == 1:
        raise ValueError("once more")
    return len(tries)


@app.function
async def durable(ctx: Context) -> int:
    total = await ctx.step("count", count, retry=2, backoff=Fixed("50ms"))
    await ctx.sleep("300ms")
    return total + await ctx.call(plain, 1)


@app.function(batch=Batch(2, "5s"))
def together(items: list[int]) -> list[int]:
    return items


@app.function
def told(event: Event) -> str:
    return event.name


@app.function(on_failure=told)
def doomed() -> None:
    raise ValueError("out of luck")


@app.function(on="order.created")
def order(event: Event) -> str:
    return event.id
