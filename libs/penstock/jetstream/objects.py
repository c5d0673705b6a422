"""Large arguments and results in the object store: streamed both ways in chunks, in the layout of every NATS client."""

import asyncio
import base64
import hashlib
import secrets
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any, BinaryIO

import msgspec

from penstock.domain.errors import Rejected
from penstock.domain.limits import result_bytes_max
from penstock.jetstream.connect import Connection
from penstock.jetstream.publisher import PubAck, Publisher
from penstock.jetstream.reader import DirectReader
from penstock.ports import Unavailable
from penstock.wire import names as wire
from penstock.wire.names import Names

CHUNK_BYTES = 128 * 1024
WINDOW_CHUNKS = 16
"""Chunks under way at once, in either direction: 2 MB."""

Source = bytes | bytearray | memoryview | Iterable[bytes] | AsyncIterable[bytes] | BinaryIO


class PayloadMissing(LookupError):  # noqa: N818 - it reads as a claim
    """There is no value of this name."""


class PayloadDamaged(Exception):  # noqa: N818 - it reads as a claim
    """What is stored is not what was put: chunks are missing or differ from their digest."""


class Meta(msgspec.Struct, frozen=True):
    """What the store keeps about one value."""

    name: str
    bucket: str
    nuid: str
    size: int = 0
    chunks: int = 0
    digest: str = ""
    mtime: str = ""
    options: dict[str, Any] = msgspec.field(default_factory=lambda: {"max_chunk_size": CHUNK_BYTES})
    deleted: bool = False


class Payloads:
    """ports.ObjectStore, and `chunks` for values that should not be in memory as a whole."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._names = names
        self._publisher = Publisher(connection)
        self._reader = DirectReader(connection)

    async def put(self, name: str, data: Source) -> None:
        """Store the value; a whole one of that name exists before and after, never half of one.

        Raises Rejected `payload_too_large` above the limit, and Unavailable.
        """
        object_id = secrets.token_hex(11)
        subject = self._names.payload_chunks_subject(object_id)
        try:
            meta = await self._send(name, object_id, subject, data)
            before = await self._meta(name)
        except BaseException:
            await asyncio.shield(self._forget_quietly(object_id))
            raise
        existed = before is not None and not before.deleted
        if before is not None and existed and (before.digest, before.size) == (meta.digest, meta.size):
            # The same value again (a retry): whoever is reading it must not lose its chunks.
            await self._forget_quietly(object_id)
            return
        # From here on the chunks stay, whatever happens: a publish without an answer may have been stored.
        await self._publisher.publish(self._meta_subject(name), msgspec.json.encode(meta), {wire.ROLLUP: "sub"})
        if before is not None and existed:
            await self._forget_quietly(before.nuid)

    async def remove(self, name: str) -> None:
        """Forget the value; nothing happens if there is none. Raises Unavailable."""
        before = await self._meta(name)
        if before is None or before.deleted:
            return
        meta = msgspec.structs.replace(before, deleted=True, size=0, chunks=0, digest="")
        await self._publisher.publish(self._meta_subject(name), msgspec.json.encode(meta), {wire.ROLLUP: "sub"})
        await self._forget_quietly(before.nuid)

    async def get(self, name: str) -> bytes:
        """The whole value. Raises PayloadMissing, PayloadDamaged or Unavailable."""
        return b"".join([chunk async for chunk in self.chunks(name)])

    async def size(self, name: str) -> int:
        """Its length in bytes. Raises PayloadMissing or Unavailable."""
        return (await self._existing(name)).size

    async def chunks(self, name: str) -> AsyncIterator[bytes]:
        """The value piece by piece. Raises PayloadDamaged at the end if what came was not what had been put."""
        meta = await self._existing(name)
        subject = self._names.payload_chunks_subject(meta.nuid)
        digest = hashlib.sha256()
        left, start = meta.chunks, 1
        while left > 0:
            found = await self._reader.subject(
                self._names.payloads_stream, subject, start, limit=min(left, WINDOW_CHUNKS)
            )
            if not found:
                raise PayloadDamaged(f"{left} of {meta.chunks} chunks of {name!r} are missing.")
            for message in found:
                digest.update(message.data)
                yield message.data
            left -= len(found)
            start = found[-1].sequence + 1
        if meta.digest != _digest_text(digest.digest()):
            raise PayloadDamaged(f"{name!r} differs from what was stored.")

    async def _send(self, name: str, object_id: str, subject: str, data: Source) -> Meta:
        digest = hashlib.sha256()
        window: deque[asyncio.Future[PubAck]] = deque()
        size = count = 0
        async for chunk in _chunked(data):
            size += len(chunk)
            if size > result_bytes_max:
                raise Rejected("payload_too_large", f"{name} is larger than {result_bytes_max} bytes.")
            digest.update(chunk)
            count += 1
            if len(window) >= WINDOW_CHUNKS:
                await window.popleft()
            window.append(await self._publisher.send(subject, chunk))
        for future in window:
            await future
        return Meta(
            name=name,
            bucket=self._names.payloads,
            nuid=object_id,
            size=size,
            chunks=count,
            digest=_digest_text(digest.digest()),
            mtime=datetime.now(UTC).isoformat(),
        )

    async def _existing(self, name: str) -> Meta:
        meta = await self._meta(name)
        if meta is None or meta.deleted:
            raise PayloadMissing(f"There is no stored value {name!r}; was it removed with its execution?")
        return meta

    async def _meta(self, name: str) -> Meta | None:
        stored = await self._reader.last(self._names.payloads_stream, self._meta_subject(name))
        return msgspec.json.decode(stored.data, type=Meta) if stored is not None else None

    def _meta_subject(self, name: str) -> str:
        return self._names.payload_meta_subject(base64.urlsafe_b64encode(name.encode()).decode())

    async def _forget(self, object_id: str) -> None:
        # A roll-up leaves one empty message in place of the chunks and needs no right to purge the stream.
        await self._publisher.publish(self._names.payload_chunks_subject(object_id), b"", {wire.ROLLUP: "sub"})

    async def _forget_quietly(self, object_id: str) -> None:
        try:
            await self._forget(object_id)
        except Unavailable:
            return  # the chunks stay, which wastes space and harms nobody


def _digest_text(digest: bytes) -> str:
    return "SHA-256=" + base64.urlsafe_b64encode(digest).decode()


async def _chunked(data: Source) -> AsyncIterator[bytes]:
    """The bytes of any source in chunks of CHUNK_BYTES; only the last may be shorter."""
    gathered = bytearray()
    async for piece in _pieces(data):
        view = memoryview(piece)
        at = 0
        while at < len(view):
            if not gathered and len(view) - at >= CHUNK_BYTES:
                yield bytes(view[at : at + CHUNK_BYTES])
                at += CHUNK_BYTES
                continue
            taken = view[at : at + CHUNK_BYTES - len(gathered)]
            gathered += taken
            at += len(taken)
            if len(gathered) == CHUNK_BYTES:
                yield bytes(gathered)
                gathered.clear()
    if gathered:
        yield bytes(gathered)


async def _pieces(data: Source) -> AsyncIterator[bytes | bytearray | memoryview]:
    if isinstance(data, bytes | bytearray | memoryview):
        yield data
    elif isinstance(data, AsyncIterable):
        async for piece in data:
            yield piece
    elif hasattr(data, "read"):
        # A file may be slow: it must not hold up the loop.
        while piece := await asyncio.to_thread(data.read, CHUNK_BYTES):
            yield piece
    else:
        for piece in data:
            yield piece
