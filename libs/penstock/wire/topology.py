"""The streams as data. Provisioning creates them, and compares what the server echoes with what is wanted here."""

from typing import Any

from penstock.wire.names import Names

SERVER_VERSION_MIN = (2, 14)
"""Older servers accept these settings and silently ignore some of them."""

DUPLICATE_WINDOW_NS = 100_000_000
"""The server's minimum. Its duplicate check is per stream, not per subject, and would swallow accepted work."""

LEASE_SECONDS = 10
"""A runner or scheduler that has not renewed its lease for so long is taken for lost."""


def streams(names: Names, replicas: int = 1) -> list[dict[str, Any]]:
    """Stream settings in the server's own JSON form, one per stream."""
    common: dict[str, Any] = {
        "storage": "file",
        "num_replicas": replicas,
        "duplicate_window": DUPLICATE_WINDOW_NS,
        "allow_direct": True,
        "retention": "limits",
        "discard": "new",
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msgs_per_subject": -1,
    }
    # What holds no truth is not synced write by write: wake-ups that a crash loses are set again from the log.
    derived: dict[str, Any] = {**common, "persist_mode": "async"} if replicas == 1 else common
    return [
        {**common, "name": names.events, "subjects": names.event_subjects()},
        {
            **common,
            "name": names.executions,
            "subjects": names.execution_subjects(),
            "allow_atomic": True,
        },
        {
            # Schedules may not be combined with `discard: new`, and imply rollups.
            **derived,
            "name": names.timers,
            "subjects": names.timer_subjects(),
            "discard": "old",
            "allow_msg_schedules": True,
            "allow_rollup_hdrs": True,
        },
        {**common, "name": names.notifications, "subjects": names.notification_subjects()},
        {
            # Lines of user code: useful, not the truth; the oldest give way.
            **derived,
            "name": names.logs,
            "subjects": names.log_subjects(),
            "discard": "old",
            "max_age": 30 * 24 * 3600 * 1_000_000_000,
            "max_bytes": 4 * 1024**3,
        },
    ]


def buckets(names: Names, replicas: int = 1) -> list[dict[str, Any]]:
    """The key-value and object store buckets, as the streams that they are."""
    common: dict[str, Any] = {
        "storage": "file",
        "num_replicas": replicas,
        "duplicate_window": DUPLICATE_WINDOW_NS,
        "allow_direct": True,
        "allow_rollup_hdrs": True,
        "retention": "limits",
        "discard": "new",
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
    }
    values = {**common, "deny_delete": True, "max_msgs_per_subject": 1}
    return [
        {**values, "name": names.registry_stream, "subjects": [names.registry_subject(">")]},
        {
            **values,
            "name": names.leases_stream,
            "subjects": [names.lease_subject(">")],
            "max_age": LEASE_SECONDS * 1_000_000_000,
        },
        {**values, "name": names.positions_stream, "subjects": [names.position_subject(">")]},
        {
            **common,
            "name": names.payloads_stream,
            "subjects": [names.payload_chunks_subject(">"), names.payload_meta_subject(">")],
            "max_msgs_per_subject": -1,
        },
    ]
