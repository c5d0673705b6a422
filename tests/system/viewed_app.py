"""Functions whose traces are looked at in a real trace viewer."""

from penstock import App, Context, Retry

app = App("viewed")


@app.function
async def plain(text: str) -> str:
    return text


@app.function(retries=2, backoff=Retry(initial="300ms", factor=1.0, cap="1s", jitter=0.0))
async def flaky(ctx: Context) -> int:
    if ctx.attempt < 2:
        raise ConnectionError("the shop does not answer")
    return ctx.attempt


def _price(article: str) -> int:
    return len(article)


@app.function
async def order(ctx: Context, article: str) -> str:
    price = await ctx.step("price", _price, article)
    await ctx.sleep("500ms")
    confirmed = await ctx.call(plain, f"{article} for {price}")
    return await ctx.step("ship", str, confirmed)


@app.function
async def hopeless() -> None:
    raise ValueError("no such article")
