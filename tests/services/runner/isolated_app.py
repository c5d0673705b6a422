"""Functions that are stopped, crash, or look around, in tests of what surrounds them."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from penstock import App, Context

app = App("isolated")

SLEEP = "import time; time.sleep(600)"
DAEMON = f"import os, sys; pid = os.fork(); print(pid) if pid else (os.setsid(), os.close(1), exec({SLEEP!r}))"


def _note(journal: str, line: object) -> None:
    with Path(journal).open("a") as file:
        file.write(f"{line}\n")


def start_others(journal: str) -> None:
    """A child, one in a session of its own, and one whose parent has gone; their process ids go to the journal."""
    child = subprocess.Popen([sys.executable, "-c", SLEEP])
    apart = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
    bare = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True, env={})
    daemon = subprocess.run([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, check=True).stdout.decode()
    for pid in (child.pid, apart.pid, bare.pid, int(daemon)):
        _note(journal, pid)


def _hang() -> NoReturn:
    while True:
        time.sleep(0.01)


@app.function
def with_others(journal: str) -> None:
    start_others(journal)
    _hang()


@app.function
async def with_others_async(journal: str) -> None:
    start_others(journal)
    await asyncio.sleep(600)


@app.function(losses=1)
def crashes_with_others(journal: str) -> None:
    start_others(journal)
    os._exit(3)


@app.function
async def cleans_up(journal: str) -> None:
    _note(journal, "begun")
    try:
        await asyncio.sleep(600)
    finally:
        await asyncio.sleep(0.05)
        _note(journal, "cleaned")


@app.function
def cleans_up_sync(journal: str) -> None:
    _note(journal, "begun")
    try:
        _hang()
    finally:
        time.sleep(0.05)
        _note(journal, "cleaned")


@app.function
async def steps_on_leaving(ctx: Context, journal: str) -> None:
    _note(journal, "begun")
    try:
        await ctx.sleep("1h")
    finally:
        try:
            await ctx.step("release", _note, journal, "released")
        finally:
            _note(journal, "left")


@app.function
def steps_on_leaving_sync(ctx: Context, journal: str) -> None:
    _note(journal, "begun")
    try:
        ctx.sleep("1h")
    finally:
        try:
            ctx.step("release", _note, journal, "released")
        finally:
            _note(journal, "left")


@app.function
def stubborn(journal: str) -> None:
    """Stops for nobody."""
    _note(journal, "begun")
    while True:
        try:
            _hang()
        except BaseException:
            _note(journal, "asked")


@app.function
async def finishes_anyway(journal: str) -> str:
    _note(journal, "begun")
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        return "finished"
    return "never"


@app.function(retries=0, losses=1)
async def crashes_at_once() -> None:
    os._exit(3)


@app.function
async def scratch(ctx: Context, journal: str) -> bool:
    (ctx.scratch / "file").write_text("something")
    _note(journal, ctx.scratch)
    return ctx.scratch.is_dir()


@app.function
def scratch_sync(ctx: Context, journal: str) -> bool:
    with tempfile.NamedTemporaryFile(delete=False) as file:
        _note(journal, ctx.scratch)
    child = subprocess.run(["sh", "-c", "echo $TMPDIR"], stdout=subprocess.PIPE, text=True, check=True)
    (ctx.scratch / "closed").mkdir()
    (ctx.scratch / "closed" / "file").touch()
    (ctx.scratch / "closed").chmod(0)
    return Path(file.name).parent == ctx.scratch == Path(child.stdout.strip())


@app.function(losses=1)
async def scratch_and_crash(ctx: Context, journal: str) -> None:
    (ctx.scratch / "file").touch()
    _note(journal, ctx.scratch)
    os._exit(3)


@app.function(timeout=0.2)
def scratch_and_hang(ctx: Context, journal: str) -> None:
    (ctx.scratch / "file").touch()
    _note(journal, ctx.scratch)
    _hang()


@app.function
async def no_scratch() -> list[str]:
    return os.listdir(os.environ["PENSTOCK_SCRATCH"])


@app.function
async def scratch_and_wait(ctx: Context, journal: str) -> None:
    subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
    _note(journal, ctx.scratch)
    await asyncio.sleep(600)


@app.function
def looks_around(paths: list[str], pid: int) -> dict[str, str]:
    """What becomes of an attempt to read each of the files, and to send a signal to the process."""
    found = {}
    for path in paths:
        try:
            with open(path, "rb") as file:
                found[path] = file.read(64).decode(errors="replace")
        except OSError as error:
            found[path] = type(error).__name__
    try:
        os.kill(pid, 0)
        found["signal"] = "sent"
    except OSError as error:
        found["signal"] = type(error).__name__
    return found


@app.function
def works_as_ever(directory: str) -> list[object]:
    """Starts and stops a process, and moves a file from one directory to another."""
    one, two = Path(directory, "one"), Path(directory, "two")
    one.mkdir()
    two.mkdir()
    (one / "file").write_text("text")
    (one / "file").rename(two / "file")
    process = subprocess.Popen([sys.executable, "-c", SLEEP])
    process.kill()
    return [process.wait(), (two / "file").read_text()]


@app.function
def time_zone() -> list[str]:
    return [*time.tzname, subprocess.run(["date", "+%Z"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()]


@app.function(heartbeat="1s")
async def falls_silent(ctx: Context) -> None:
    ctx.heartbeat()
    await asyncio.sleep(600)


@app.function(heartbeat="1s")
def falls_silent_sync() -> None:
    _hang()


@app.function(heartbeat="1s")
def keeps_beating(ctx: Context) -> str:
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        ctx.heartbeat()
        time.sleep(0.05)
    return "done"


@app.function(timeout=0.3)
async def takes_its_time(ctx: Context) -> str:
    ctx.extend_timeout("20s")
    await asyncio.sleep(0.5)
    return "done"


@app.function(timeout=0.3)
def takes_its_time_sync(ctx: Context) -> str:
    ctx.extend_timeout("20s")
    time.sleep(0.5)
    return "done"


@app.function(timeout="20s")
async def cuts_its_time(ctx: Context) -> None:
    ctx.extend_timeout("100ms")
    await asyncio.sleep(600)


@app.function(retries=5, timeout="1m")
def never_ends(ctx: Context) -> None:
    ctx.extend_timeout("1h")
    _hang()


@app.function(retries=5, total_timeout=0.3)
async def never_ends_async() -> None:
    await asyncio.sleep(600)
