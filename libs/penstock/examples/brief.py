"""A weekly brief: one execution per user writes what changed during the last week in the folders that the user watches.

The users are a JSON file: `[{"name": "ada", "folders": ["/home/ada/reports"]}]`.

    penstock call weekly_brief --args '["users.json", "briefs"]' --wait
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from penstock import App, Context, Terminal
from penstock.domain.ids import is_function_name

app = App("brief", retries=2, timeout="5m")

DAYS = 7
FILES_MAX = 50
"""Lines of one brief; a folder may hold more than anyone reads."""


class Reader(msgspec.Struct, frozen=True):
    """Somebody who gets a brief. The name becomes the name of the file."""

    name: str
    folders: list[str] = []


@app.function
def weekly_brief(ctx: Context, users: str, output: str, today: str | None = None) -> dict[str, Any]:
    """Start one execution per user of the file `users`. Paths are seen from where the runner works."""
    day = datetime.fromisoformat(today) if today else datetime.now(UTC)
    week = "{}-W{:02}".format(*day.isocalendar()[:2])
    started = []
    for reader in _readers(Path(users).expanduser()):
        # The key holds within this execution: a second attempt finds the children that the first one made.
        bound = user_brief.options(idempotency_key=f"{ctx.execution_id}/{reader.name}", metadata={"user": reader.name})
        started.append(bound.enqueue(reader, str(Path(output).expanduser().resolve()), week, day.date().isoformat()).id)
    print(f"{len(started)} briefs for {week}")
    return {"week": week, "executions": started}


@app.function
def user_brief(reader: Reader, output: str, week: str, today: str) -> dict[str, Any]:
    """Write the brief of one user as a Markdown file."""
    end = datetime.fromisoformat(today).replace(tzinfo=UTC) + timedelta(days=1)
    lines = [f"# Week {week} for {reader.name}", ""]
    count = 0
    for folder in reader.folders:
        changed = _changed(Path(folder).expanduser(), end - timedelta(days=DAYS), end)
        count += len(changed)
        lines += [f"## {folder}", ""]
        lines += [f"- {moment:%a %d %b %H:%M}  {name}  ({size} bytes)" for moment, name, size in changed[:FILES_MAX]]
        if len(changed) > FILES_MAX:
            lines.append(f"- and {len(changed) - FILES_MAX} more")
        lines += ["Nothing changed." if not changed else "", ""]
    target = Path(output) / week / f"{reader.name}.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(f".{os.getpid()}")
    draft.write_text("\n".join(lines), encoding="utf-8")
    draft.replace(target)
    return {"file": str(target), "changed": count}


def _readers(path: Path) -> list[Reader]:
    try:
        readers = msgspec.json.decode(path.read_bytes(), type=list[Reader])
    except (OSError, msgspec.DecodeError) as error:
        raise Terminal(f"{path} is no list of users: {error}") from None
    for reader in readers:
        if not is_function_name(reader.name):
            raise Terminal(f"A user's name is 1 to 64 of A-Z a-z 0-9 _ -, not {reader.name!r:.80}.")
    return readers


def _changed(folder: Path, since: datetime, until: datetime) -> list[tuple[datetime, str, int]]:
    """(time, name, bytes) of the files directly in the folder that changed in this span, newest first."""
    found = []
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise Terminal(f"{folder} cannot be read: {error.strerror}.") from None
    for entry in entries:
        if entry.is_file():
            status = entry.stat()
            moment = datetime.fromtimestamp(status.st_mtime, UTC)
            if since <= moment < until:
                found.append((moment, entry.name, status.st_size))
    return sorted(found, key=lambda each: (each[0], each[1]), reverse=True)
