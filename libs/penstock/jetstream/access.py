"""Who may do what on the embedded NATS: one user per service with the least subjects, and `trigger` for the outside.

Each service has an inbox of its own, `_INBOX_<user>.>`, so that no user sees the answers meant for another; ordinary
clients log in as `trigger`, whose inbox is the usual `_INBOX.>`. Passwords live in `nats.json` in the data directory
and in the server's configuration, both readable by their owner only, and never in arguments, environments or logs.

With PENSTOCK_NATS_URL whoever runs the server decides what its users may do. `penstock nats users` prints the same
users for its configuration, and with PENSTOCK_NATS_PASSWORDS the services log in as these; without, all use the URL.
"""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.jetstream.refused import StartRefused
from penstock.jetstream.server import write_private
from penstock.wire.names import TRIGGER_USER, VIEW_READER, Names

PASSWORDS_FILE = "nats.json"
OPERATOR = "operator"
"""Provisions the streams, and reads everything for `penstock doctor`."""

SERVICES = ("ingest", "scheduler", "runner", "notifier", "query")
USERS = (*SERVICES, OPERATOR)


def passwords(data_dir: Path) -> dict[str, str]:
    """User -> password, made at the first call and kept; call it with the data directory locked or before any start."""
    path = data_dir / PASSWORDS_FILE
    try:
        known: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = {}
    except (OSError, ValueError) as error:
        raise StartRefused(
            "passwords_unreadable",
            f"{path} cannot be read ({error}).",
            "Restore it, or delete it to make new passwords.",
        ) from None
    missing = [user for user in USERS if user not in known]
    if missing:
        known.update({user: secrets.token_urlsafe(32) for user in missing})
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, json.dumps(known, indent=2))
    return known


def authorization(environments: Sequence[Names], known: dict[str, str], api_key: str) -> dict[str, Any]:
    """The `authorization` block of the server's configuration; without an API key there is no `trigger`."""
    merged = merged_permissions(environments)
    secrets_by_user = {**known, **({TRIGGER_USER: _checked_key(api_key)} if api_key else {})}
    return {
        "users": [
            {
                "user": user,
                "password": secrets_by_user[user],
                "permissions": {side: {"allow": subjects} for side, subjects in merged[user].items()},
            }
            for user in merged
            if user in secrets_by_user
        ]
    }


def merged_permissions(environments: Sequence[Names]) -> dict[str, dict[str, list[str]]]:
    """User -> subjects it may publish and subscribe in any of the environments."""
    merged: dict[str, dict[str, list[str]]] = {}
    for names in environments:
        for user, rights in permissions(names).items():
            sides = merged.setdefault(user, {"publish": [], "subscribe": []})
            for side, subjects in rights.items():
                sides[side].extend(subject for subject in subjects if subject not in sides[side])
    return merged


def permissions(names: Names) -> dict[str, dict[str, list[str]]]:
    """User -> subjects it may publish and subscribe in one environment."""
    published = {
        "ingest": _ingest(names),
        "scheduler": _scheduler(names),
        "runner": _runner(names),
        "notifier": _notifier(names),
        "query": _query(names),
        OPERATOR: _operator(names),
    }
    rights = {user: {"publish": subjects, "subscribe": [f"_INBOX_{user}.>"]} for user, subjects in published.items()}
    rights["runner"]["subscribe"].append(names.hint_subject("*"))
    rights["scheduler"]["subscribe"].append(names.ask_subject("*"))
    rights[TRIGGER_USER] = {
        "publish": [
            names.event_subject(">"),
            names.invoke_subject("*"),
            *_make_consumers(names.notifications),
            *_read_consumer(names.notifications, "*"),
        ],
        "subscribe": ["_INBOX.>", *names.notification_subjects()],
    }
    return rights


def _ingest(names: Names) -> list[str]:
    return [
        *names.event_subjects(),
        *_append_executions(names),
        names.system_subject("event_fanned_out", ">"),
        names.system_subject("event_rejected", ">"),
        names.system_subject("schedule", ">"),
        *(names.system_subject(kind, ">") for kind in ("limit_changed", "paused", "resumed")),
        names.delivery_filter(),
        names.channel_subject("*"),
        *_make_consumers(names.events),
        *_read_consumer(names.events, names.fan_out_consumer),
        *_look_up(names.events),
        *_timers(names),
        *_registry(names),
        *_payloads(names),
        names.hint_subject("*"),
    ]


def _scheduler(names: Names) -> list[str]:
    return [
        *_append_executions(names),
        f"{names.root}.c.>",
        *_make_consumers(names.timers),
        *_read_consumer(names.timers, names.wake_consumer),
        *_look_up(names.timers),
        *_follow(names.events),
        f"$JS.ACK.{names.events}.>",
        f"$JS.ACK.{names.executions}.>",
        *_timers(names),
        *_registry(names),
        *_leases(names),
        *_payloads(names),
        names.position_subject("*"),
        *_look_up(names.positions_stream),
        names.hint_subject("*"),
        f"$JS.API.CONSUMER.PAUSE.{names.executions}.*",
        "_INBOX_query.>",
    ]


def _runner(names: Names) -> list[str]:
    return [
        *_append_executions(names),
        names.system_subject("function_declared", "*"),
        names.system_subject("schedules_declared", "*"),
        f"$JS.ACK.{names.executions}.>",
        *names.log_subjects(),
        *_look_up(names.events),
        *_timers(names),
        *_registry(names),
        names.registry_subject("*"),
        names.position_subject("*"),
        *_look_up(names.positions_stream),
        *_leases(names),
        *_payloads(names),
        names.hint_subject("*"),
    ]


def _notifier(names: Names) -> list[str]:
    return [
        *_follow(names.executions),
        f"$JS.ACK.{names.executions}.>",
        *names.notification_subjects(),
        *_look_up(names.notifications),
        names.delivery_filter(),
        names.channel_subject("*"),
        *_leases(names),
        names.position_subject("*"),
        *_look_up(names.positions_stream),
        *_registry(names),
        *_read_payloads(names),
    ]


def _query(names: Names) -> list[str]:
    return [
        *_follow(names.executions),
        *_follow(names.events),
        *_follow(names.logs),
        *_follow(names.notifications),
        *_look_up(names.timers),
        *_registry(names),
        *_look_up(names.leases_stream),
        *_read_payloads(names),
        names.position_subject(VIEW_READER),
        names.ask_subject("*"),
        f"$JS.API.CONSUMER.LIST.{names.executions}",
    ]


def _operator(names: Names) -> list[str]:
    """May make streams and read them, but neither purge nor delete, nor write a fact."""
    subjects = ["$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST"]
    for stream in names.all_streams():
        subjects += [f"$JS.API.STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE")]
        subjects += [f"$JS.API.CONSUMER.{verb}.{stream}" for verb in ("NAMES", "LIST")]
        subjects += _follow(stream)
    return [*subjects, *names.event_subjects()]


# What the parts above are made of.


def _make_consumers(stream: str) -> list[str]:
    return [
        f"$JS.API.CONSUMER.CREATE.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.>",
    ]


def _read_consumer(stream: str, consumer: str) -> list[str]:
    return [
        f"$JS.API.CONSUMER.INFO.{stream}.{consumer}",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}",
        f"$JS.ACK.{stream}.{consumer}.>",
    ]


def _look_up(stream: str) -> list[str]:
    """Read single messages, and the state of the stream."""
    return [
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.>",
    ]


def _follow(stream: str) -> list[str]:
    """Look up, and read from a consumer without acknowledging: the position is the reader's own."""
    return [
        *_look_up(stream),
        *_make_consumers(stream),
        f"$JS.API.CONSUMER.INFO.{stream}.*",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
    ]


def _append_executions(names: Names) -> list[str]:
    return [f"{names.root}.x.*.*.*", *_follow(names.executions)]


def _timers(names: Names) -> list[str]:
    """Set and clear wake-ups. The stream holds no truth, so that whoever may clear one may purge."""
    return [names.timer_subject("*", "*"), f"$JS.API.STREAM.PURGE.{names.timers}"]


def _registry(names: Names) -> list[str]:
    return _follow(names.registry_stream)


def _leases(names: Names) -> list[str]:
    return [names.lease_subject("*"), *_look_up(names.leases_stream)]


def _read_payloads(names: Names) -> list[str]:
    return _look_up(names.payloads_stream)


def _payloads(names: Names) -> list[str]:
    return [*_read_payloads(names), names.payload_chunks_subject("*"), names.payload_meta_subject("*")]


def _checked_key(api_key: str) -> str:
    """The server's configuration takes a `$2a$...` for a hash, and has its own escapes."""
    plain = api_key.isascii() and api_key.isprintable() and not set(api_key) & set("\"\\ '")
    if plain and len(api_key) <= 256 and not api_key.startswith("$"):
        return api_key
    raise StartRefused(
        "invalid_api_key",
        "The API key cannot be a NATS password: it must be up to 256 ASCII characters "
        "without spaces, quotes and backslashes, and not begin with '$'.",
        "Set PENSTOCK_API_KEY to another key.",
    )
