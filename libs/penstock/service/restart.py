"""Restarting an execution from a later step: what the new one takes over goes to the object store before it exists."""

from collections.abc import Sequence

from penstock.domain.execution.facts import Enqueued
from penstock.domain.execution.inherit import NOTHING_INHERITED, encode_inherited, inherited_from, read_inherited
from penstock.domain.ids import content_hash
from penstock.ports import ObjectStore, Recorded


async def store_inherited(recorded: Sequence[Recorded], name: str, new_id: str, objects: ObjectStore) -> str | None:
    """Name of the stored operations that `new_id` takes over when it restarts from operation `name`.

    None if there is nothing before it. Raises Rejected `invalid_option` when the execution has no such operation, and
    Unavailable.
    """
    first = recorded[0].fact
    before = NOTHING_INHERITED
    if isinstance(first, Enqueued) and first.inherited_ref is not None:
        before = read_inherited(await objects.get(first.inherited_ref))
    inherited = inherited_from([entry.fact for entry in recorded], name, before)
    if not inherited.ops:
        return None
    data = encode_inherited(inherited)
    # The content is part of the name: a request that conflicts must not replace what is stored.
    ref = f"inherited-{new_id}-{content_hash(data)}"
    await objects.put(ref, data)
    return ref
