"""`penstock doctor`: checks this installation, one line each, and says what to do about what is not well."""

import asyncio
import shutil
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal, NamedTuple

import httpx2
import msgspec

from penstock.cli.output import Json, console, print_json
from penstock.jetstream.clock import clock_skew
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.provision import check_server, drift, server_version
from penstock.jetstream.refused import StartRefused
from penstock.jetstream.server import is_synced
from penstock.ports import Unavailable
from penstock.service.access import open_connection, read_passwords
from penstock.service.keys import find_key, key_path
from penstock.service.settings import Settings, load_settings, unknown_variables
from penstock.wire.names import Names

Level = Literal["ok", "warn", "fail"]
STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}

SKEW_WARN_SECONDS = 0.5
SKEW_FAIL_SECONDS = 5.0
DISK_WARN_BYTES = 2 * 1024**3
DISK_FAIL_BYTES = 200 * 1024**2
LAG_WARN_FACTS = 10_000


class Finding(NamedTuple):
    """One line of the report."""

    level: Level
    check: str
    found: str
    remedy: str = ""


def doctor(*, as_json: Json = False) -> None:
    """Check settings, data directory, disk, NATS, clock, streams, storage, API and view; exit code 1 if one fails."""
    findings = asyncio.run(_examine(load_settings()))
    worst = max((("ok", "warn", "fail").index(finding.level) for finding in findings), default=0)
    if as_json:
        print_json({"ok": worst < 2, "data": [finding._asdict() for finding in findings]})
    else:
        for finding in findings:
            style = STYLES[finding.level]
            console.print(f"[{style}]{finding.level:<5}[/{style}]", f"{finding.check}: {finding.found}", markup=True)
            if finding.remedy:
                console.print(f"      {finding.remedy}", markup=False, style="dim")
    raise SystemExit(1 if worst == 2 else 0)


async def _examine(settings: Settings) -> list[Finding]:
    return [*_variables(), *_files(settings), *_disk(settings), *[finding async for finding in _nats(settings)]]


def _variables() -> list[Finding]:
    unknown = unknown_variables()
    if not unknown:
        return [Finding("ok", "settings", "every PENSTOCK_* variable is one")]
    return [Finding("warn", "settings", f"without effect: {', '.join(unknown)}", "`penstock config` lists them all.")]


def _files(settings: Settings) -> list[Finding]:
    path = settings.data_path
    if not path.is_dir():
        if settings.nats_url and settings.api_key:
            return []
        remedy = "Start `penstock up`, or set PENSTOCK_DATA_DIR."
        return [Finding("warn", "data directory", f"{path} does not exist", remedy)]
    private = [path, key_path(settings), path / "nats.json", path / "nats.conf"]
    loose = [each for each in private if each.exists() and _is_open_to_others(each)]
    if loose:
        names = " ".join(str(each) for each in loose)
        return [Finding("fail", "permissions", f"others can read {names}", f"chmod go-rwx {names}")]
    return [Finding("ok", "permissions", f"{path} is closed to others")]


def _is_open_to_others(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _disk(settings: Settings) -> list[Finding]:
    path = settings.data_path
    if not path.is_dir():
        return []
    free = shutil.disk_usage(path).free
    level: Level = "fail" if free < DISK_FAIL_BYTES else "warn" if free < DISK_WARN_BYTES else "ok"
    remedy = "" if level == "ok" else "Free space: a full disk stops every write."
    return [Finding(level, "disk", f"{free / 1024**3:.1f} GiB free for {path}", remedy)]


async def _nats(settings: Settings) -> AsyncIterator[Finding]:
    names = Names(settings.env)
    async with AsyncExitStack() as stack:
        try:
            connection = await open_connection(stack, settings, read_passwords(settings), "operator", "doctor")
        except (Unavailable, StartRefused) as error:
            yield Finding("fail", "NATS server", str(error), "Start `penstock up`, or correct PENSTOCK_NATS_URL.")
            return
        yield _version(connection)
        yield await _clock(connection)
        yield await _streams(connection, names, settings)
        yield _storage(settings)
        log = JetStreamLog(connection, names)
        stack.push_async_callback(log.close)
        try:
            last = await log.last_sequence()
        except Unavailable as error:
            yield Finding("fail", "log", str(error), "See the log of the NATS server.")
            return
        for finding in await asyncio.to_thread(_api, settings, last):
            yield finding


def _version(connection: Connection) -> Finding:
    try:
        check_server(connection)
    except StartRefused as refusal:
        return Finding("fail", "NATS server", refusal.detail, refusal.remedy)
    return Finding("ok", "NATS server", f"version {server_version(connection)}")


async def _clock(connection: Connection) -> Finding:
    try:
        skew, error = await clock_skew(connection)
    except Unavailable as problem:
        return Finding("fail", "clock", str(problem), "Is JetStream enabled on the server?")
    apart = max(0.0, abs(skew) - error)
    level: Level = "fail" if apart > SKEW_FAIL_SECONDS else "warn" if apart > SKEW_WARN_SECONDS else "ok"
    found = f"this machine and the NATS server are {abs(skew) * 1000:.0f} ms apart (give or take {error * 1000:.0f} ms)"
    remedy = "" if level == "ok" else "Let both follow one time server (NTP): delays go by both clocks."
    return Finding(level, "clock", found, remedy)


async def _streams(connection: Connection, names: Names, settings: Settings) -> Finding:
    try:
        found = await drift(connection, names, settings.nats_replicas)
    except Unavailable as error:
        return Finding("fail", "streams", str(error), "Is JetStream enabled on the server?")
    if not found:
        return Finding("ok", "streams", f"as they must be in environment {names.environment}")
    missing = all(each.setting == "name" for each in found)
    remedy = "Start a service: it makes them." if missing else "Undo the change with the NATS tools."
    return Finding("fail", "streams", "; ".join(map(str, found)), remedy)


def _storage(settings: Settings) -> Finding:
    if settings.nats_url:
        found = "an external server does not say whether it syncs before it acknowledges"
        return Finding("warn", "storage", found, "Set `sync_interval: always` there, or run three replicas.")
    if is_synced(settings.data_path):
        return Finding("ok", "storage", "every write is on disk before it is acknowledged")
    remedy = "Stop and start `penstock up`; it writes it anew."
    return Finding("fail", "storage", "nats.conf has no `sync_interval: always`", remedy)


def _api(settings: Settings, last: int) -> list[Finding]:
    """Key, readiness and lag of the view, as seen over HTTP."""
    headers = {"Authorization": f"Bearer {find_key(settings) or ''}"}
    start = "Start `penstock up` or `penstock serve query`, or correct PENSTOCK_URL."
    try:
        with httpx2.Client(base_url=settings.url, headers=headers, timeout=10) as client:
            ready = client.get("/readyz")
            listed = client.get("/v1/executions", params={"limit": "1"})
    except httpx2.HTTPError as error:
        return [Finding("fail", "API", f"nothing answers at {settings.url} ({error})", start)]
    if listed.status_code in (401, 403):
        return [Finding("fail", "API", "the API key is refused", "Set PENSTOCK_API_KEY or PENSTOCK_DATA_DIR.")]
    if listed.status_code != 200:
        return [Finding("fail", "API", f"{settings.url} answers {listed.status_code}", "See the log of the service.")]
    findings = [Finding("ok", "API", f"{settings.url} is ready")]
    if ready.status_code != 200:
        detail = str(msgspec.json.decode(ready.content).get("detail", "not ready"))
        findings = [Finding("fail", "API", detail, "See the log of the service.")]
    position = int(str(msgspec.json.decode(listed.content)["sequence"]).removeprefix("x:"))
    lag = max(0, last - position)
    level: Level = "warn" if lag > LAG_WARN_FACTS else "ok"
    remedy = "" if level == "ok" else "It catches up by itself; if it does not, see the log of the query service."
    return [*findings, Finding(level, "view", f"{lag} of {last} facts behind the log", remedy)]
