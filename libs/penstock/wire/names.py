"""Every stream, subject, consumer, bucket and header name. Nothing else in the project writes one down.

Wire names are for ever: other people's programs use them.
"""

import hashlib
from functools import lru_cache
from typing import Literal

from penstock.domain.errors import Rejected
from penstock.domain.ids import ENVIRONMENT_NAME

DEFAULT_ENVIRONMENT = "dev"

IDEMPOTENCY_KEY = "Penstock-Idempotency-Key"
EXECUTION_ID = "Penstock-Execution-Id"
MSG_ID = "Nats-Msg-Id"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
BAGGAGE = "baggage"
FUNCTION = "Penstock-Function"
ATTEMPT = "Penstock-Attempt"
CALLBACK_URL = "Penstock-Callback-Url"
IDEMPOTENCY_KEY_HTTP = "Idempotency-Key"
WEBHOOK_ID = "webhook-id"
WEBHOOK_TIMESTAMP = "webhook-timestamp"
WEBHOOK_SIGNATURE = "webhook-signature"
CONTENT_TYPE = "Content-Type"
EXPECTED_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
BATCH_ID = "Nats-Batch-Id"
BATCH_SEQUENCE = "Nats-Batch-Sequence"
BATCH_COMMIT = "Nats-Batch-Commit"
SCHEDULE = "Nats-Schedule"
SCHEDULE_TARGET = "Nats-Schedule-Target"
SCHEDULER = "Nats-Scheduler"
PULL_PENDING = "Nats-Pending-Messages"
"""In the end of a request for messages: how many of them did not come."""
PULL_HEARTBEAT = "100"
"""Status of a message that only says that a request for messages still stands."""
ROLLUP = "Nats-Rollup"
TIME_STAMP = "Nats-Time-Stamp"
"""When the server stored a message that is read directly."""
KV_OPERATION = "KV-Operation"

START_WAIT = "start"
"""The wait of an execution for the time before which it may not start: a delay or a backoff. One at a time is open."""

TICK_WAIT = "tick"
"""The wait of a schedule for its next tick; in its place of the execution stands the token of the schedule."""

TRIGGER_USER = "trigger"
"""The NATS user for the outside world; its password is the API key."""

FLOW_LANE = "flow"
"""The lane of all admissions of an environment: its limit covers all functions."""

VIEW_READER = "view"
"""The reader of the log whose position tells how far the view is."""

PARSED_SUBJECTS = 4096
"""Subjects remembered with their parts: each fact is looked at by several readers of a process, soon one after another.
"""

FactClass = Literal["run", "end", "fact"]
SchedulePart = Literal["fact", "tick"]


def wait_token(key: str) -> str:
    """An open wait as a token of a subject. Keys hold any text, so it is a hash; no other wait looks like it."""
    return "w" + hashlib.blake2b(key.encode(), digest_size=8).hexdigest()


class Names:
    """The names of one environment."""

    def __init__(self, environment: str = DEFAULT_ENVIRONMENT) -> None:
        if not ENVIRONMENT_NAME.fullmatch(environment):
            raise Rejected("invalid_name", f"{environment[:80]!r} is no environment name (a-z, 0-9, -; 1 to 32).")
        self.environment = environment
        self.root = f"penstock.{environment}"
        # Stream names are plain in the default environment; others say which environment they belong to.
        suffix = "" if environment == DEFAULT_ENVIRONMENT else f"-{environment}"
        self.events = f"EVENTS{suffix}"
        self.executions = f"EXECUTIONS{suffix}"
        self.timers = f"TIMERS{suffix}"
        self.notifications = f"NOTIFICATIONS{suffix}"
        self.logs = f"LOGS{suffix}"
        self.payloads = f"payloads{suffix}"
        self.registry = f"registry{suffix}"
        self.leases = f"leases{suffix}"
        self.positions = f"positions{suffix}"
        self._x = f"{self.root}.x."
        self.parse_fact_subject = lru_cache(PARSED_SUBJECTS)(self._parse_fact_subject)
        """(execution id, class, function) of a fact subject; None for any other."""

    # The doors.
    def event_subject(self, name: str) -> str:
        return f"{self.root}.events.{name}"

    def invoke_subject(self, function: str) -> str:
        return f"{self.root}.invoke.{function}"

    def event_subjects(self) -> list[str]:
        return [f"{self.root}.events.>", f"{self.root}.invoke.>"]

    def parse_event_subject(self, subject: str) -> tuple[Literal["events", "invoke"], str] | None:
        """Door and name of a subject of EVENTS; None for any other subject."""
        doors: tuple[Literal["events", "invoke"], ...] = ("events", "invoke")
        for door in doors:
            prefix = f"{self.root}.{door}."
            if subject.startswith(prefix):
                return door, subject[len(prefix) :]
        return None

    # The log.
    def fact_subject(self, execution_id: str, function: str, kind: FactClass) -> str:
        return f"{self._x}{execution_id}.{kind}.{function}"

    def fact_subjects(self, execution_id: str, function: str) -> list[str]:
        """The three literal subjects that hold all facts of one execution."""
        return [self.fact_subject(execution_id, function, kind) for kind in ("run", "end", "fact")]

    def history_filter(self, execution_id: str) -> str:
        """The filter that gives the whole history of one execution one writer at a time."""
        return f"{self._x}{execution_id}.>"

    def run_filter(self, function: str) -> str:
        return f"{self._x}*.run.{function}"

    def end_filter(self) -> str:
        return f"{self._x}*.end.*"

    def _parse_fact_subject(self, subject: str) -> tuple[str, FactClass, str] | None:
        if not subject.startswith(self._x):
            return None
        tokens = subject[len(self._x) :].split(".")
        return (tokens[0], tokens[1], tokens[2]) if len(tokens) == 3 else None  # type: ignore[return-value]

    def system_subject(self, kind: str, key: str) -> str:
        return f"{self.root}.c.{kind}.{key}"

    # Schedules: what people say and the ticks, on two subjects with one order.
    def schedule_token(self, key: str) -> str:
        """The key as a token of a subject; no key holds a '='."""
        return key.replace(".", "=")

    def schedule_key(self, token: str) -> str:
        return token.replace("=", ".")

    def schedule_subject(self, key: str, part: SchedulePart) -> str:
        return self.system_subject("schedule", f"{self.schedule_token(key)}.{part}")

    def schedule_filter(self, key: str) -> str:
        """The filter that gives the history of one schedule one writer at a time."""
        return self.system_subject("schedule", f"{self.schedule_token(key)}.>")

    def parse_schedule_subject(self, subject: str) -> tuple[str, SchedulePart] | None:
        """(key, part) of a subject of a schedule; None for any other."""
        prefix = f"{self.root}.c.schedule."
        if not subject.startswith(prefix):
            return None
        token, _, part = subject[len(prefix) :].partition(".")
        return (self.schedule_key(token), part) if part in ("fact", "tick") else None  # type: ignore[return-value]

    # Notifications: all facts of one delivery on one subject.
    def delivery_subject(self, channel: str, notification: str) -> str:
        return self.system_subject("notification", f"{channel}.{notification}")

    def delivery_filter(self, channel: str = "*", notification: str = "*") -> str:
        return self.delivery_subject(channel, notification)

    def parse_delivery_subject(self, subject: str) -> tuple[str, str] | None:
        """(channel, notification) of a subject of a delivery; None for any other."""
        prefix = f"{self.root}.c.notification."
        if not subject.startswith(prefix):
            return None
        channel, _, notification = subject[len(prefix) :].partition(".")
        return (channel, notification) if notification else None

    def channel_subject(self, channel: str) -> str:
        """Whether a channel was disabled or enabled."""
        return self.system_subject("channel", channel)

    def lane_subject(self, lane: str) -> str:
        """The heads of the admission batches of one lane: each expects the one before it."""
        return self.system_subject("lane", lane)

    def execution_subjects(self) -> list[str]:
        return [f"{self.root}.x.>", f"{self.root}.c.>"]

    # Timers: one subject per wait, since a second schedule on a subject silently replaces the first.
    def timer_subject(self, execution_id: str, wait: str) -> str:
        return f"{self.root}.timer.{execution_id}.{wait}"

    def wake_subject(self, execution_id: str, wait: str) -> str:
        return f"{self.root}.wake.{execution_id}.{wait}"

    def wake_filter(self) -> str:
        return f"{self.root}.wake.>"

    def parse_wake_subject(self, subject: str) -> tuple[str, str] | None:
        """(execution id, wait) of a wake-up that has fired."""
        prefix = f"{self.root}.wake."
        if not subject.startswith(prefix):
            return None
        tokens = subject[len(prefix) :].split(".")
        return (tokens[0], tokens[1]) if len(tokens) == 2 else None

    def timer_subjects(self) -> list[str]:
        return [f"{self.root}.timer.>", f"{self.root}.wake.>"]

    # Outgoing.
    def notification_subject(self, outcome: str, function: str) -> str:
        return f"{self.root}.notify.{outcome}.{function}"

    def notification_subjects(self) -> list[str]:
        return [f"{self.root}.notify.>"]

    def log_subject(self, execution_id: str, attempt: int) -> str:
        return f"{self.root}.log.{execution_id}.{attempt}"

    def log_subjects(self) -> list[str]:
        return [f"{self.root}.log.>"]

    def hint_subject(self, runner: str) -> str:
        """Core NATS only: a cancel on its way to a live runner."""
        return f"{self.root}.hint.{runner}"

    def ask_subject(self, question: str) -> str:
        """Core NATS only: a question to the schedulers, one of which answers."""
        return f"{self.root}.ask.{question}"

    # Buckets: each is a stream with a prescribed name and subjects, readable by every NATS client.
    @property
    def registry_stream(self) -> str:
        return f"KV_{self.registry}"

    def registry_subject(self, function: str) -> str:
        return f"$KV.{self.registry}.{function}"

    @property
    def leases_stream(self) -> str:
        return f"KV_{self.leases}"

    def lease_subject(self, holder: str) -> str:
        return f"$KV.{self.leases}.{holder}"

    @property
    def payloads_stream(self) -> str:
        return f"OBJ_{self.payloads}"

    def payload_chunks_subject(self, object_id: str) -> str:
        return f"$O.{self.payloads}.C.{object_id}"

    def payload_meta_subject(self, encoded_name: str) -> str:
        return f"$O.{self.payloads}.M.{encoded_name}"

    @property
    def positions_stream(self) -> str:
        return f"KV_{self.positions}"

    def position_subject(self, reader: str) -> str:
        """How far a reader of the log has got with what it does outside of it."""
        return f"$KV.{self.positions}.{reader}"

    def all_streams(self) -> list[str]:
        """Every stream of the environment, buckets included."""
        return [
            self.events,
            self.executions,
            self.timers,
            self.notifications,
            self.logs,
            self.registry_stream,
            self.leases_stream,
            self.positions_stream,
            self.payloads_stream,
        ]

    # Durable consumers.
    def runner_consumer(self, function: str) -> str:
        return f"run-{function}"

    fan_out_consumer = "fan-out"
    wake_consumer = "wake"
    notify_consumer = "notify"
    ends_consumer = "ends"
