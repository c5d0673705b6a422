"""Every span, attribute and metric name with its description; nothing else in the project writes one down."""

from typing import Literal, Self


class Name(str):
    """A name that carries what it means."""

    description: str

    __slots__ = ("description",)

    def __new__(cls, text: str, description: str) -> Self:
        name = super().__new__(cls, text)
        name.description = description
        return name


class SpanName(Name):
    """The name of a span, or its first word where a number or a name of the user's follows."""

    __slots__ = ()


class Attribute(Name):
    """The name of an attribute of a span, an event or a resource."""

    __slots__ = ()


MetricKind = Literal["counter", "gauge", "histogram"]


class Metric(Name):
    """The name of a metric, the same in the Prometheus format and over OTLP, with the names of its labels."""

    kind: MetricKind
    labels: tuple[str, ...]
    unit: str

    __slots__ = ("kind", "labels", "unit")

    @classmethod
    def of(cls, kind: MetricKind, text: str, labels: tuple[str, ...], description: str, unit: str = "1") -> Self:
        name = cls(text, description)
        name.kind, name.labels, name.unit = kind, labels, unit
        return name


# Spans. The span of an execution has the name of its function.
ENQUEUE = SpanName("enqueue", "The moment the execution was accepted; no time passes in it.")
DELAY = SpanName("delay", "From acceptance, or from the last move, until the time before which it may not start.")
QUEUED = SpanName("queued", "Runnable, and waiting for a runner.")
STARTED = SpanName("started", "The moment an attempt began, so that it shows while it runs; no time passes in it.")
ATTEMPT = SpanName("attempt", "One attempt, followed by its number; spans of user code nest below it.")
RETRY_WAIT = SpanName("retry wait", "The backoff between a failed attempt and the next.")
STEP = SpanName("step", "One step, followed by its name; each failed try of it is a span with its error.")
WAIT = SpanName("wait", "One wait, followed by its name: from its opening until it is over.")
SUSPENDED = SpanName("suspended", "The moment the execution gave its slot back to wait; no time passes in it.")
CALL = SpanName("call", "A call of child executions, followed by its name, until the last of them has ended.")
PAUSED = SpanName("paused", "Failed, and waiting for somebody to mend it and resume.")
UNDO = SpanName("undo", "Undoing the steps of an execution that fails or is cancelled.")
NOTIFY = SpanName(
    "notify",
    "The notification about an end without success on NATS, in which no time passes; followed by the name of a "
    "channel, a delivery there, from the rule's word until it was taken or given up.",
)
NOTIFY_TRY = SpanName("notify try", "A try of a delivery that failed, followed by its number; no time passes in it.")

# Events.
EXCEPTION = Name("exception", "The error that ended the attempt.")
EXCEPTION_TYPE = Attribute("exception.type", "Class of the exception.")
EXCEPTION_MESSAGE = Attribute("exception.message", "Its message.")
EXCEPTION_STACKTRACE = Attribute("exception.stacktrace", "Its stack as text.")

# Attributes of the semantic conventions.
FAAS_NAME = Attribute("faas.name", "Name of the function.")
FAAS_INVOCATION_ID = Attribute("faas.invocation_id", "Id of the execution.")
FAAS_TRIGGER = Attribute("faas.trigger", "`pubsub` for an event, `timer` for a tick, `other` for a call.")
FAAS_TIME = Attribute("faas.time", "The tick that caused the execution.")
FAAS_VERSION = Attribute("faas.version", "Version of the function that ran.")
MESSAGING_SYSTEM = Attribute("messaging.system", "Always `nats`.")
MESSAGING_OPERATION_NAME = Attribute("messaging.operation.name", "`enqueue`, `process` or `notify`.")
MESSAGING_OPERATION_TYPE = Attribute("messaging.operation.type", "`send` or `process`.")
MESSAGING_DESTINATION = Attribute("messaging.destination.name", "Name of the function: each has its queue.")
MESSAGING_MESSAGE_ID = Attribute("messaging.message.id", "Id of the event that caused the execution.")
ERROR_TYPE = Attribute("error.type", "Code of the error catalogue; `notification_failed` where a channel said no.")

# Our own.
EXECUTION_ID = Attribute("penstock.execution.id", "Id of the execution.")
EXECUTION_STATE = Attribute("penstock.execution.state", "The final state.")
EXECUTION_PARENT = Attribute("penstock.execution.parent_id", "Id of the execution that called this one.")
EXECUTION_RERUN_OF = Attribute("penstock.execution.rerun_of", "Id of the execution that this one repeats.")
EXECUTION_RUN_AT = Attribute("penstock.execution.run_at", "The time before which the delayed execution may not start.")
EXECUTION_WAKES_AT = Attribute("penstock.execution.wakes_at", "When it goes on if nothing else happens before.")
EXECUTION_LEADER = Attribute("penstock.execution.leader_id", "Id of the execution that this one followed.")
ATTEMPT_NUMBER = Attribute("penstock.attempt", "Number of the attempt, from 1.")
ATTEMPT_OUTCOME = Attribute("penstock.attempt.outcome", "Kind of the fact that ended the attempt.")
RUNNER = Attribute("penstock.runner", "The runner that ran the attempt.")
ACTIVATION = Attribute("penstock.activation", "Number of the fact that made the execution runnable.")
STEP_NAME = Attribute("penstock.step", "Name of the step.")
STEP_FAILURES = Attribute("penstock.step.failures", "How often the step has failed, this time included.")
WAIT_NAME = Attribute("penstock.wait", "Name of the wait or of the call.")
WAIT_KIND = Attribute("penstock.wait.kind", "`sleep`, `event`, `token` or `message`.")
WAIT_FOR = Attribute("penstock.wait.for", "Name of the event, or channel of the message.")
WAIT_OUTCOME = Attribute("penstock.wait.outcome", "What ended it; `lost` if an alternative was over first.")
CHILDREN = Attribute("penstock.call.children", "How many executions were called.")
SCHEDULE = Attribute("penstock.schedule", "Key of the schedule whose tick caused the execution.")
NOTIFICATION_ID = Attribute("penstock.notification.id", "Id of the notification.")
NOTIFICATION_CHANNEL = Attribute("penstock.notification.channel", "The channel that it went to.")
NOTIFICATION_RULE = Attribute("penstock.notification.rule", "The rule that made it.")
NOTIFICATION_ABOUT = Attribute("penstock.notification.about", "The outcome or the condition that it tells of.")
NOTIFICATION_TRIES = Attribute("penstock.notification.tries", "How often it was tried.")
EXECUTION_RESTARTED_FROM = Attribute("penstock.execution.restarted_from", "The step that it was restarted from.")

# Resources.
SERVICE_NAME = Attribute(
    "service.name", "`penstock-ingest`, `-scheduler`, `-runner` or `-notifier`: whose work the span is."
)
ENVIRONMENT = Attribute("deployment.environment.name", "The environment.")

SCOPE = "penstock"
"""Instrumentation scope of all spans made from facts, and of all metrics."""

# Metrics. Labels are names of functions, schedules' outcomes, states and channels: never executions or keys.
_BY_FUNCTION = ("function",)
EXECUTIONS_CREATED = Metric.of(
    "counter", "penstock_executions_created_total", _BY_FUNCTION, "Executions that were made."
)
EXECUTIONS_FINISHED = Metric.of(
    "counter", "penstock_executions_finished_total", ("function", "state"), "Executions that ended, by final state."
)
ATTEMPTS_STARTED = Metric.of("counter", "penstock_attempts_started_total", _BY_FUNCTION, "Attempts that began.")
ATTEMPTS_REPEATED = Metric.of(
    "counter", "penstock_attempts_repeated_total", ("function", "reason"),
    "Attempts that another one follows: `failed`, `lost` with their runner, or `drained` by one that stopped.",
)  # fmt: skip
START_DELAY = Metric.of(
    "histogram", "penstock_start_delay_seconds", _BY_FUNCTION,
    "From the time at which an execution was to start, its limits aside, to its first attempt.", "s",
)  # fmt: skip
DURATION = Metric.of(
    "histogram", "penstock_execution_duration_seconds", _BY_FUNCTION,
    "From the first attempt of an execution to its end, waits and retries included.", "s",
)  # fmt: skip
EVENTS = Metric.of("counter", "penstock_events_total", ("state",), "Events: `matched`, `unmatched` or `rejected`.")
TICKS = Metric.of(
    "counter", "penstock_ticks_total", ("outcome", "reason"),
    "Ticks of schedules: `fired`, `late`, `buffered` or `skipped`, and why.",
)  # fmt: skip
DELIVERIES = Metric.of(
    "counter", "penstock_notification_deliveries_total", ("channel", "outcome"),
    "Notifications to channels: `due`, `sent`, `failed` (it is tried again) or `dead` (it is not).",
)  # fmt: skip
EXECUTIONS_OPEN = Metric.of(
    "gauge", "penstock_executions_open", ("function", "state"), "Executions that have not ended, by state."
)
QUEUE_DEPTH = Metric.of(
    "gauge", "penstock_queue_depth", _BY_FUNCTION, "Executions that are queued, those held back by limits included."
)
QUEUE_RUNNABLE = Metric.of("gauge", "penstock_queue_runnable", _BY_FUNCTION, "Runnable, and not yet taken by a runner.")
QUEUE_AGE = Metric.of(
    "gauge", "penstock_queue_oldest_age_seconds", _BY_FUNCTION, "For how long the oldest one has been queued.", "s"
)
SLOTS_HELD = Metric.of("gauge", "penstock_slots_held", _BY_FUNCTION, "Slots taken: executions that run.")
SLOTS_WANTED = Metric.of("gauge", "penstock_slots_wanted", _BY_FUNCTION, "Slots taken, and those that are queued for.")
REDELIVERIES = Metric.of(
    "gauge", "penstock_redeliveries", _BY_FUNCTION, "Items under way that were delivered more than once."
)
VIEW_LAG = Metric.of("gauge", "penstock_view_lag_facts", (), "Facts in the log that the view does not have yet.")

SPANS: tuple[SpanName, ...] = tuple(name for name in list(globals().values()) if isinstance(name, SpanName))
ATTRIBUTES: tuple[Attribute, ...] = tuple(name for name in list(globals().values()) if isinstance(name, Attribute))
METRICS: tuple[Metric, ...] = tuple(name for name in list(globals().values()) if isinstance(name, Metric))
