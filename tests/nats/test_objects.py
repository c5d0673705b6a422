"""Large values: streamed in and out, whole or not at all."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Iterator

import pytest

from eventually import eventually
from penstock.domain import limits
from penstock.domain.errors import Rejected
from penstock.jetstream import objects
from penstock.jetstream.connect import Connection
from penstock.jetstream.objects import CHUNK_BYTES, PayloadDamaged, PayloadMissing, Payloads
from penstock.wire.names import Names


@pytest.fixture
def payloads(connection: Connection, environment: Names) -> Payloads:
    return Payloads(connection, environment)


def pattern(size: int) -> bytes:
    """Bytes in which no chunk is like another."""
    return b"".join(hashlib.blake2b(number.to_bytes(4)).digest() for number in range(size // 64 + 1))[:size]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 40 * CHUNK_BYTES + 7])
async def test_a_value_comes_back_as_it_was_put(payloads: Payloads, size: int) -> None:
    """At every edge of the chunks, and beyond one window of them."""
    value = pattern(size)
    await payloads.put("result", value)
    assert await payloads.get("result") == value
    assert await payloads.size("result") == size


async def test_values_come_from_any_source(payloads: Payloads) -> None:
    """Bytes, files, and pieces of any size, also from a generator."""
    value = pattern(3 * CHUNK_BYTES + 5)

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(value), 1000):
            yield value[at : at + 1000]

    async def async_pieces() -> AsyncIterator[bytes]:
        yield value[:10]
        yield b""
        yield value[10:]

    for name, source in [
        ("memory", memoryview(value)),
        ("file", io.BytesIO(value)),
        ("pieces", pieces()),
        ("async", async_pieces()),
    ]:
        await payloads.put(name, source)
        assert await payloads.get(name) == value, name


async def test_reading_needs_no_room_for_the_whole(payloads: Payloads) -> None:
    """It comes in chunks of a bounded size."""
    await payloads.put("result", pattern(20 * CHUNK_BYTES))
    sizes = [len(chunk) async for chunk in payloads.chunks("result")]
    assert max(sizes) <= CHUNK_BYTES
    assert sum(sizes) == 20 * CHUNK_BYTES


async def test_the_layout_is_that_of_every_client(
    payloads: Payloads, connection: Connection, environment: Names
) -> None:
    """The plain client reads what we put, and we read what it puts."""
    plain = await connection.js.object_store(environment.payloads)
    value = pattern(2 * CHUNK_BYTES + 3)
    await payloads.put("ours", value)
    assert (await plain.get("ours")).data == value
    await plain.put("theirs", value)
    assert await payloads.get("theirs") == value


async def test_a_missing_value_is_told_apart(payloads: Payloads) -> None:
    """Not an empty one."""
    with pytest.raises(PayloadMissing):
        await payloads.get("nothing")


async def test_a_value_put_again_replaces_the_old_and_frees_its_room(
    payloads: Payloads, connection: Connection, environment: Names
) -> None:
    """No chunk of the old one stays."""
    await payloads.put("result", pattern(10 * CHUNK_BYTES))
    await payloads.put("result", b"short")
    assert await payloads.get("result") == b"short"
    info = await connection.js.stream_info(environment.payloads_stream)
    assert info.state.bytes < CHUNK_BYTES


async def test_the_same_value_put_again_keeps_the_chunks_that_are_being_read(payloads: Payloads) -> None:
    """A retry of a put must not break a reader in the middle."""
    value = pattern(40 * CHUNK_BYTES)
    await payloads.put("result", value)
    reading = payloads.chunks("result")
    read = [await anext(reading)]
    await payloads.put("result", value)
    read += [chunk async for chunk in reading]
    assert b"".join(read) == value


async def test_a_source_that_fails_leaves_nothing_behind(
    payloads: Payloads, connection: Connection, environment: Names
) -> None:
    """Neither a value nor its chunks."""

    def failing() -> Iterator[bytes]:
        yield pattern(10 * CHUNK_BYTES)
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        await payloads.put("result", failing())
    with pytest.raises(PayloadMissing):
        await payloads.get("result")
    info = await connection.js.stream_info(environment.payloads_stream)
    assert info.state.bytes < CHUNK_BYTES


async def test_a_cancelled_put_leaves_nothing_behind(
    payloads: Payloads, connection: Connection, environment: Names
) -> None:
    """The runner may be stopped while it stores a result."""
    arrived = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield pattern(CHUNK_BYTES)
        arrived.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(payloads.put("result", endless()))
    await arrived.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting

    async def is_empty() -> bool:
        return (await connection.js.stream_info(environment.payloads_stream)).state.bytes < CHUNK_BYTES

    assert await eventually(is_empty)


async def test_a_value_over_the_limit_is_refused(payloads: Payloads, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the code that callers know; one byte less is taken."""
    assert limits.result_bytes_max == 1024**3
    monkeypatch.setattr(objects, "result_bytes_max", CHUNK_BYTES)
    await payloads.put("fits", pattern(CHUNK_BYTES))
    with pytest.raises(Rejected) as rejected:
        await payloads.put("large", pattern(CHUNK_BYTES + 1))
    assert rejected.value.code == "payload_too_large"


async def test_a_damaged_value_is_never_handed_out_as_whole(
    payloads: Payloads, connection: Connection, environment: Names
) -> None:
    """A missing chunk shows."""
    await payloads.put("result", pattern(4 * CHUNK_BYTES))
    info = await connection.js.stream_info(environment.payloads_stream)
    await connection.js.delete_msg(environment.payloads_stream, info.state.first_seq + 1)
    with pytest.raises(PayloadDamaged):
        await payloads.get("result")
