"""The same functions in the version that the environment names, which they answer with."""

import os

from penstock import App, Context, Fixed

VERSION = os.environ.get("APP_VERSION", "")
app = App("versioned", version=VERSION, retries=1, backoff=Fixed("1ms"))


def _second_time(ctx: Context) -> str:
    if ctx.attempt == 1:
        raise ValueError("not yet")
    return VERSION


@app.function
async def goes_on(ctx: Context) -> str:
    return _second_time(ctx)


@app.function(on_version_change="fail")
async def fails(ctx: Context) -> str:
    return _second_time(ctx)


@app.function(on_version_change="pause")
async def pauses(ctx: Context) -> str:
    return _second_time(ctx)
