"""What the code of an attempt is told of its operations, with values fetched from where they are."""

import asyncio
from collections.abc import Collection

from msgspec import Raw

from penstock.domain.execution.state import Execution
from penstock.functions import outcomes
from penstock.functions.actions import Outcome
from penstock.ports import ObjectStore

FETCHES_MAX = 20


async def outcomes_of(state: Execution, keys: Collection[str], payloads: ObjectStore) -> dict[str, Outcome]:
    """What is known of these operations. Raises what the object store raises for a value that it has not."""
    stored: dict[str, bytes] = {}
    room = asyncio.Semaphore(FETCHES_MAX)

    async def fetch(name: str) -> None:
        async with room:
            stored[name] = await payloads.get(name)

    names = outcomes.references(state, keys)
    if names:
        await asyncio.gather(*(fetch(name) for name in names))

    def value_of(result: Raw, name: str | None) -> bytes:
        return bytes(result) if name is None else stored[name]

    return outcomes.outcomes_of(state, keys, value_of)
