"""The command line. Only names live here; each command's module is imported when the command is used."""

import importlib.metadata
from collections.abc import Sequence

import cyclopts

from penstock.cli.output import console, fail_with, usage_errors
from penstock.domain.errors import Rejected

app = cyclopts.App(
    name="penstock",
    help="Background functions on NATS JetStream: durable, event-sourced, explainable.",
    version=importlib.metadata.version("penstock"),
    version_flags=["--version"],
    help_format="plaintext",
    console=console,
    error_console=usage_errors,
    result_action="return_value",
)
executions = cyclopts.App(name="executions", help="Look at executions and change their course.")
functions = cyclopts.App(name="functions", help="Functions that runners have declared.")
schedules = cyclopts.App(name="schedules", help="Look at schedules and steer them.")
tokens = cyclopts.App(name="tokens", help="Answer executions that wait for a token.")
app.command(executions)
app.command(functions)
app.command(schedules)
app.command(tokens)
limits = cyclopts.App(name="limits", help="Limits of flow control, and changing them while everything runs.")
app.command(limits)
notifications = cyclopts.App(name="notifications", help="What was told to channels, and telling it once more.")
app.command(notifications)
trace = cyclopts.App(name="trace", help="Traces of executions.")
app.command(trace)
nats = cyclopts.App(name="nats", help="What a NATS server or cluster of your own needs.")
app.command(nats)

_COMMANDS = {
    "up": "Start everything on this machine: NATS, all services, your functions.",
    "run": "Run your functions against a Penstock that is up.",
    "serve": "Run the named services in this process.",
    "trigger": "Publish an event.",
    "call": "Start one execution of a function.",
    "config": "Explain every setting.",
    "doctor": "Check this installation and say what to do.",
    "rebuild": "Rebuild the view from the log and prove that it is equal.",
    "bench": "Measure this machine, beside the raw bound.",
}
for _name, _help in _COMMANDS.items():
    app.command(f"penstock.cli.{_name}:{_name}", name=_name, help=_help)

_EXECUTIONS = {
    "list": "List executions, newest first.",
    "show": "Show one execution with its attempts, steps, result and facts.",
    "why": "Say why an execution does not run, and what would start it.",
    "cancel": "Cancel an execution.",
    "rerun": "Start a new execution with the same arguments, from the beginning or from a step.",
    "resume": "Let an execution that paused on failure go on.",
    "send": "Send a message to an execution.",
    "reschedule": "Move the start of an execution that has not started.",
}
for _name, _help in _EXECUTIONS.items():
    executions.command(f"penstock.cli.executions:{_name}_", name=_name, help=_help)
executions.command("penstock.cli.tail:tail", name="tail", help="Show executions as they change, until Ctrl-C.")
_SCHEDULES = {
    "list": "List schedules with their next tick.",
    "show": "Show one schedule with its next ticks and what became of the latest.",
    "pause": "Skip its ticks until it is resumed.",
    "resume": "Let it tick again.",
    "trigger": "Start an execution of it now.",
    "backfill": "Make up for the ticks of a span of the past.",
}
for _name, _help in _SCHEDULES.items():
    schedules.command(f"penstock.cli.schedules:{_name}_", name=_name, help=_help)
tokens.command("penstock.cli.tokens:complete", name="complete", help="Answer with a value.")
tokens.command("penstock.cli.tokens:reject", name="reject", help="Say no.")
_NOTIFICATIONS = {
    "list": "List notifications with what became of them, the latest first.",
    "replay": "Deliver one once more, or try a rule on what was recorded.",
    "enable": "Enable a channel whose receiver wanted nothing more.",
}
for _name, _help in _NOTIFICATIONS.items():
    notifications.command(f"penstock.cli.notifications:{_name}_", name=_name, help=_help)
nats.command("penstock.cli.nats:users_", name="users", help="Print the users for the server's configuration.")
nats.command("penstock.cli.nats:streams_", name="streams", help="Make the streams of an environment.")
functions.command("penstock.cli.functions:list_", name="list", help="List functions.")
functions.command("penstock.cli.limits:pause", name="pause", help="Start nothing more of a function; keep everything.")
functions.command("penstock.cli.limits:resume", name="resume", help="End a pause.")
trace.command("penstock.cli.trace:export_", name="export", help="Send the spans of the past to a collector again.")
limits.command("penstock.cli.limits:list_", name="list", help="List limits with their use.")
limits.command("penstock.cli.limits:set_", name="set", help="Set a limit, or take a change back.")
limits.command("penstock.cli.limits:pause_all", name="pause", help="Start nothing more in the environment.")
limits.command("penstock.cli.limits:resume_all", name="resume", help="End a pause of the environment.")


def main(tokens: Sequence[str] | None = None) -> None:
    """Entry point of the console script; without tokens, what the shell gave."""
    try:
        app(tokens)
    except Rejected as error:
        fail_with(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of a pipe (such as `head`) went away; that is no error of ours.
        raise SystemExit(0) from None


if __name__ == "__main__":
    main()
