"""The tables of the view. All is derived from the log: a change raises SCHEMA_VERSION, and the view is built anew.

Columns are what lists filter and sort by; `body` is the whole folded execution, so that the fold can go on from a row.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

SCHEMA_VERSION = 4

metadata = MetaData()

# SQLite makes a column its row id only if the type is spelled INTEGER.
_Position = BigInteger().with_variant(Integer, "sqlite")

executions = Table(
    "executions",
    metadata,
    # The log position of the first fact: unique, never changing, and the order of every list.
    Column("created_sequence", _Position, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("function", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("scheduled_at", BigInteger),
    # When it was to start; unlike `scheduled_at`, which is the next thing to come, it stays.
    Column("due_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("event_id", Text),
    Column("parent_id", Text),
    # Of one that failed.
    Column("error_code", Text),
    Column("body", Text, nullable=False),
)
Index("executions_state", executions.c.state, executions.c.created_sequence)
Index("executions_function", executions.c.function, executions.c.created_sequence)
Index("executions_created_at", executions.c.created_at)
Index("executions_due_at", executions.c.due_at)
Index(
    "executions_started_at",
    executions.c.started_at,
    sqlite_where=executions.c.started_at.is_not(None),
    postgresql_where=executions.c.started_at.is_not(None),
)
for _column in (executions.c.event_id, executions.c.parent_id, executions.c.error_code):
    # Most executions have none of them: rows without one cost nothing here.
    Index(
        f"executions_{_column.name}",
        _column,
        executions.c.created_sequence,
        sqlite_where=_column.is_not(None),
        postgresql_where=_column.is_not(None),
    )

execution_metadata = Table(
    "execution_metadata",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("execution", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    # Position of the event in EVENTS; `log_sequence` is that of the fact about it, and the order of lists.
    Column("sequence", _Position, primary_key=True, autoincrement=False),
    Column("log_sequence", BigInteger, nullable=False, unique=True),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("body", Text, nullable=False),
)
Index("events_id", events.c.id)
Index("events_state", events.c.state, events.c.log_sequence)
Index("events_name", events.c.name, events.c.log_sequence)

functions = Table(
    "functions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("key", Text, primary_key=True),
    # 0 once it is deleted: its ticks are still listed.
    Column("live", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

ticks = Table(
    "ticks",
    metadata,
    Column("schedule", Text, primary_key=True),
    Column("tick", BigInteger, primary_key=True, autoincrement=False),
    Column("decided_at", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    sqlite_with_rowid=False,
)

notifications = Table(
    "notifications",
    metadata,
    # Channel and notification; `due_sequence` is the position of the first fact, and the order of lists.
    Column("key", Text, primary_key=True),
    Column("due_sequence", BigInteger, nullable=False, unique=True),
    Column("id", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("function", Text, nullable=False),
    Column("execution_id", Text, nullable=False),
    Column("body", Text, nullable=False),
)
Index("notifications_id", notifications.c.id)
Index("notifications_state", notifications.c.state, notifications.c.due_sequence)
Index("notifications_execution", notifications.c.execution_id)

quarantine = Table(
    "quarantine",
    metadata,
    Column("sequence", _Position, primary_key=True, autoincrement=False),
    Column("subject", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

position = Table(
    "position",
    metadata,
    # One row. `epoch` fences writers; `stream` and `digest` tell one log from another that took its place.
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("schema_version", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("stream", Text, nullable=False),
    Column("digest", Text, nullable=False),
)

gaps = Table(
    "gaps",
    metadata,
    # Facts that should have come and did not: first and last missing position.
    Column("first", _Position, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
)

DERIVED = (executions, execution_metadata, events, functions, schedules, ticks, notifications, quarantine)
"""The tables that a rebuild compares; the other two are bookkeeping."""
