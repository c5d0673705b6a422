"""Making the streams of an environment, and refusing to run on ones that are not as wanted."""

import asyncio
from typing import Any, NamedTuple

from penstock.jetstream.api import STREAM_EXISTS, STREAM_UNKNOWN, ApiRefused, request
from penstock.jetstream.binary import check_version
from penstock.jetstream.connect import Connection
from penstock.jetstream.refused import StartRefused
from penstock.ports import Unavailable
from penstock.wire import topology
from penstock.wire.names import Names

NOT_YET = frozenset({10005, 10008})
"""No suitable peers, and no leader."""
PATIENCE_SECONDS = 20.0
ANSWER_SECONDS = 5.0
AGAIN_SECONDS = 0.25


class Drift(NamedTuple):
    """A setting that is not as wanted. A missing stream has the setting `name` and nothing found."""

    stream: str
    setting: str
    wanted: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.stream}: {self.setting} should be {self.wanted!r} and is {self.found!r}"


async def provision(connection: Connection, names: Names, replicas: int = 1) -> None:
    """Make what is missing. Idempotent, and safe when two processes do it at once.

    Raises StartRefused when the server is too old or a stream is not as wanted, Unavailable when it does not answer.
    """
    check_server(connection)
    found: list[Drift] = []
    for wanted in wanted_streams(names, replicas):
        found += await _ensure(connection, wanted)
    if found:
        raise StartRefused(
            "stream_drift",
            "Streams are not as they must be: " + "; ".join(map(str, found)) + ".",
            "Undo the change with the NATS tools, upgrade the server if it ignored a setting, "
            "or set PENSTOCK_NATS_REPLICAS to what the streams have.",
        )


async def check_provided(connection: Connection, names: Names) -> None:
    """For whoever may not make streams. Raises StartRefused when nobody has made them, or Unavailable."""
    check_server(connection)
    try:
        await _patiently(connection, f"$JS.API.STREAM.INFO.{names.executions}")
    except ApiRefused as refusal:
        raise StartRefused(
            "no_streams",
            f"There are no streams of the environment {names.environment}: {refusal}.",
            "Run `penstock nats streams` with the password of the user `operator`.",
        ) from None


async def drift(connection: Connection, names: Names, replicas: int = 1) -> list[Drift]:
    """What differs from the wanted settings, changing nothing."""
    found: list[Drift] = []
    for wanted in wanted_streams(names, replicas):
        try:
            info = await request(connection, f"$JS.API.STREAM.INFO.{wanted['name']}")
        except ApiRefused as refusal:
            if refusal.code != STREAM_UNKNOWN:
                raise
            found.append(Drift(wanted["name"], "name", wanted["name"], None))
        else:
            found += compare(wanted, info["config"])
    return found


def wanted_streams(names: Names, replicas: int = 1) -> list[dict[str, Any]]:
    """All streams of an environment, buckets included, in the server's own JSON form."""
    return [*topology.streams(names, replicas), *topology.buckets(names, replicas)]


def compare(wanted: dict[str, Any], found: dict[str, Any]) -> list[Drift]:
    """Settings that we ask for and the server does not have. What we do not ask for is its own business."""
    return [
        Drift(wanted["name"], setting, value, found.get(setting))
        for setting, value in wanted.items()
        if _normal(value) != _normal(found.get(setting))
    ]


def server_version(connection: Connection) -> str:
    """The version that the connected server states."""
    version = connection.nc.connected_server_version
    return f"{version.major}.{version.minor}.{version.patch}"


def check_server(connection: Connection) -> None:
    """Raises StartRefused when the connected server is too old: it would accept our settings and ignore them."""
    check_version(server_version(connection), "The NATS server")


async def _ensure(connection: Connection, wanted: dict[str, Any]) -> list[Drift]:
    name = wanted["name"]
    try:
        info = await _patiently(connection, f"$JS.API.STREAM.CREATE.{name}", wanted)
    except ApiRefused as refusal:
        if refusal.code != STREAM_EXISTS:
            raise StartRefused(
                "stream_refused",
                f"The NATS server refused to make stream {name}: {refusal}.",
                "Free the name or the subjects, or give the server what it asks for.",
            ) from None
        info = await _patiently(connection, f"$JS.API.STREAM.INFO.{name}")
    return compare(wanted, info["config"])


async def _patiently(connection: Connection, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """A request whose answer may take a while: a cluster that has just lost or found a server elects leaders first."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while True:
        try:
            return await request(connection, subject, body, ANSWER_SECONDS)
        except ApiRefused as refusal:
            if refusal.code not in NOT_YET or asyncio.get_running_loop().time() > deadline:
                raise
        except Unavailable:
            if not connection.is_clustered or asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(AGAIN_SECONDS)


def _normal(value: Any) -> Any:
    # The server leaves out what is false, zero or empty.
    if not value:
        return None
    return sorted(value) if isinstance(value, list) else value
