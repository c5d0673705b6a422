"""What there is to be checked after chaos: the log when it has become quiet, its wake-ups, and the view."""

import asyncio
import subprocess
import time
from contextlib import AsyncExitStack
from typing import Any, Protocol

import httpx2

from chaos.checker import TICKING, History
from penstock.domain.execution.state import Execution
from penstock.jetstream.access import OPERATOR
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.timers import JetStreamTimers
from penstock.service.access import open_connection, read_passwords
from penstock.service.settings import Settings
from penstock.wire.names import START_WAIT, Names, wait_token

QUIET_SECONDS = 75.0
"""Longer than a lease, a redelivery and a repair one after the other."""


class Installation(Protocol):
    """What is examined: one `penstock up`, or services on their own."""

    http_port: int

    @property
    def key(self) -> str: ...

    @property
    def settings(self) -> Settings: ...

    def run(self, *arguments: str, within: float = 30.0) -> subprocess.CompletedProcess[str]: ...


async def read_history(product: Installation, far: set[str]) -> tuple[History, int, list[str]]:
    """The log once every execution is final, or the quiet time is over."""
    settings = product.settings
    names = Names(settings.env)
    async with AsyncExitStack() as stack:
        connection = await open_connection(stack, settings, read_passwords(settings), OPERATOR, "checker")
        log = JetStreamLog(connection, names)
        stack.push_async_callback(log.close)
        history = History(names)
        deadline = time.monotonic() + QUIET_SECONDS
        while True:
            last = await log.last_sequence()
            events_last = (await connection.js.stream_info(names.events)).state.last_seq
            if last > history.position:
                async for batch in log.follow(history.position):
                    history.add(batch)
                    if history.position >= last:
                        break
            is_open = any(not state.is_final and each not in far for each, state in history.states.items())
            is_settled = len(history.settled_events) >= events_last
            if (not is_open and is_settled) or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.5)
        timers = JetStreamTimers(connection, names)
        untimed = [
            f"{each} waits for {wait} without a wake-up"
            for each, state in history.states.items()
            for wait in _times(state)
            if not await timers.pending(each, wait)
        ]
    return history, events_last, untimed


def _times(state: Execution) -> list[str]:
    """What has to be in TIMERS for it."""
    if state.is_final or state.wakes_at is None:
        return []
    open_waits = [wait_token(key) for key, wait in state.waits.items() if wait.until is not None]
    return open_waits if open_waits else [START_WAIT]


def view_complaints(product: Installation, states: dict[str, Execution]) -> list[str]:
    """Where the view, now and made anew, is not what the log says."""
    seen = _all_executions(product)
    complaints = [
        f"{each}: the view says {seen.get(each)}, the log {state.state}"
        for each, state in states.items()
        if seen.get(each) != state.state
    ]
    complaints += [f"{each}: in the view, not in the log" for each in seen.keys() - states.keys()]
    rebuilt = product.run("rebuild", "--json", within=90)
    if rebuilt.returncode != 0:
        complaints.append(f"the view is not what the log folds to: {rebuilt.stdout}{rebuilt.stderr}")
    return complaints


def _all_executions(product: Installation) -> dict[str, str]:
    seen: dict[str, str] = {}
    cursor: str | None = ""
    with httpx2.Client(headers={"Authorization": f"Bearer {product.key}"}, timeout=10) as client:
        while cursor is not None:
            query: dict[str, Any] = {"limit": 500, **({"cursor": cursor} if cursor else {})}
            answer = client.get(f"http://127.0.0.1:{product.http_port}/v1/executions", params=query)
            answer.raise_for_status()
            page = answer.json()
            seen.update((each["id"], each["state"]) for each in page["data"] if each["function"] != TICKING)
            cursor = page["next"]
    return seen
