"""Every span and attribute name with its description; nothing else in the project writes one down."""

from typing import Self


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


# Spans. The span of an execution has the name of its function.
ENQUEUE = SpanName("enqueue", "The moment the execution was accepted; no time passes in it.")
DELAY = SpanName("delay", "From acceptance, or from the last move, until the time before which it may not start.")
QUEUED = SpanName("queued", "Runnable, and waiting for a runner.")
ATTEMPT = SpanName("attempt", "One attempt, followed by its number; spans of user code nest below it.")
RETRY_WAIT = SpanName("retry wait", "The backoff between a failed attempt and the next.")
STEP = SpanName("step", "One step, followed by its name; each failed try of it is a span with its error.")
WAIT = SpanName("wait", "One wait, followed by its name: from its opening until it is over.")
CALL = SpanName("call", "A call of child executions, followed by its name, until the last of them has ended.")
PAUSED = SpanName("paused", "Failed, and waiting for somebody to mend it and resume.")
UNDO = SpanName("undo", "Undoing the steps of an execution that fails or is cancelled.")

# Events.
EXCEPTION = Name("exception", "The error that ended the attempt.")
EXCEPTION_TYPE = Attribute("exception.type", "Class of the exception.")
EXCEPTION_MESSAGE = Attribute("exception.message", "Its message.")
EXCEPTION_STACKTRACE = Attribute("exception.stacktrace", "Its stack as text.")

# Attributes of the semantic conventions.
FAAS_NAME = Attribute("faas.name", "Name of the function.")
FAAS_INVOCATION_ID = Attribute("faas.invocation_id", "Id of the execution.")
FAAS_TRIGGER = Attribute("faas.trigger", "`pubsub` for an event, `other` for a call.")
FAAS_VERSION = Attribute("faas.version", "Version of the function that ran.")
MESSAGING_SYSTEM = Attribute("messaging.system", "Always `nats`.")
MESSAGING_OPERATION_NAME = Attribute("messaging.operation.name", "`enqueue` or `process`.")
MESSAGING_OPERATION_TYPE = Attribute("messaging.operation.type", "`send` or `process`.")
MESSAGING_MESSAGE_ID = Attribute("messaging.message.id", "Id of the event that caused the execution.")
ERROR_TYPE = Attribute("error.type", "Code of the error catalogue.")

# Our own.
EXECUTION_ID = Attribute("penstock.execution.id", "Id of the execution.")
EXECUTION_STATE = Attribute("penstock.execution.state", "The final state.")
EXECUTION_PARENT = Attribute("penstock.execution.parent_id", "Id of the execution that called this one.")
EXECUTION_RERUN_OF = Attribute("penstock.execution.rerun_of", "Id of the execution that this one repeats.")
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
EXECUTION_RESTARTED_FROM = Attribute("penstock.execution.restarted_from", "The step that it was restarted from.")

# Resources.
SERVICE_NAME = Attribute("service.name", "`penstock-ingest`, `penstock-scheduler` or `penstock-runner`.")
ENVIRONMENT = Attribute("deployment.environment.name", "The environment.")

SCOPE = "penstock"
"""Instrumentation scope of all spans made from facts."""

SPANS: tuple[SpanName, ...] = tuple(name for name in list(globals().values()) if isinstance(name, SpanName))
ATTRIBUTES: tuple[Attribute, ...] = tuple(name for name in list(globals().values()) if isinstance(name, Attribute))
