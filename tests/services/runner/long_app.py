"""A function with very many steps."""

from penstock import App, Context

app = App("long")


def fresh() -> int:
    return 1


@app.function(timeout="20m")
async def many(ctx: Context, count: int) -> int:
    return sum([await ctx.step("add", fresh) for _ in range(count)])


@app.function(timeout="20m")
def many_sync(ctx: Context, count: int) -> int:
    return sum([ctx.step("add", fresh) for _ in range(count)])
