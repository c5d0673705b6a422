"""The catalogue of errors: code, HTTP status, title and hint. API, CLI and documentation all read it from here."""

from typing import Any, NamedTuple


class ErrorKind(NamedTuple):
    """One entry of the catalogue; `hint` says what to do."""

    status: int
    title: str
    hint: str


CATALOGUE: dict[str, ErrorKind] = {
    # Answers to callers.
    "invalid_json": ErrorKind(400, "The body is not valid JSON", "Send UTF-8 JSON without NaN or Infinity."),
    "invalid_arguments": ErrorKind(422, "The arguments do not fit", "Correct the fields named here."),
    "payload_too_large": ErrorKind(413, "The payload is too large", "Store it elsewhere and send a reference."),
    "too_deep": ErrorKind(413, "The payload is nested too deeply", "Flatten it."),
    "invalid_event": ErrorKind(400, "Not a valid event", "See the CloudEvents 1.0 specification."),
    "invalid_name": ErrorKind(422, "Not a valid name", "Use letters, digits, '_' and '-'; dots only in event names."),
    "invalid_duration": ErrorKind(422, "Not a valid duration", "Write '250ms', '90s', '1h30m', '2d', '1w' or 'PT5M'."),
    "invalid_option": ErrorKind(422, "Not a valid option", "Correct the value; the README lists options and settings."),
    "invalid_config": ErrorKind(422, "The configuration is wrong", "Correct the file; see the README."),
    "invalid_query": ErrorKind(400, "Not a valid query", "See /schema for the parameters."),
    "unknown_function": ErrorKind(404, "No such function", "Start a runner that has it, or correct the name."),
    "unknown_execution": ErrorKind(404, "No such execution", "Check the id and the environment."),
    "unknown_event": ErrorKind(404, "No such event", "Check the id and the environment."),
    "unknown_schedule": ErrorKind(404, "No such schedule", "List them with `penstock schedules list`."),
    "unknown_token": ErrorKind(
        404, "No such token", "Use it as it was given; services on several machines need one PENSTOCK_SIGNING_KEY."
    ),
    "too_many_messages": ErrorKind(409, "Too many unread messages", "Wait until the execution has received some."),
    "unknown_notification": ErrorKind(404, "No such notification", "List them with `penstock notifications list`."),
    "unknown_channel": ErrorKind(404, "No such channel", "Channels are named in the notification settings."),
    "unknown_route": ErrorKind(404, "No such address", "See /schema for the addresses."),
    "method_not_allowed": ErrorKind(405, "Not allowed here", "See /schema for the methods."),
    "unsupported_media_type": ErrorKind(415, "Unknown media type", "Send application/json or a CloudEvent."),
    "wrong_state": ErrorKind(409, "The state forbids it", "See `state` for the state that it is in."),
    "idempotency_conflict": ErrorKind(409, "The key was used for something else", "Use a new key for a new request."),
    "unauthorized": ErrorKind(
        401, "No valid API key", "Send `Authorization: Bearer <key>`; programs take the key from PENSTOCK_API_KEY."
    ),
    "forbidden": ErrorKind(403, "The key may not do this", "Use a key with the right to do it."),
    "unavailable": ErrorKind(503, "Not available at the moment", "Try again with the same idempotency key."),
    "internal": ErrorKind(500, "Something broke on our side", "See the log of the service."),
    # Errors of attempts.
    "user_error": ErrorKind(409, "The function raised an error", "See the stack; correct the function and rerun."),
    "timed_out": ErrorKind(409, "The attempt took too long", "Raise `timeout` or do less in one attempt."),
    "out_of_memory": ErrorKind(409, "The attempt used too much memory", "Raise `memory` or use less of it."),
    "crashed": ErrorKind(409, "The process of the function died", "Look for os._exit, segfaults and kills."),
    "runner_lost": ErrorKind(409, "The runner was lost", "Look at the runner's log and its machine."),
    "result_not_serialisable": ErrorKind(409, "The result is not JSON", "Return JSON types, structs or models."),
    "batch_mismatch": ErrorKind(
        409, "The result does not fit the batch", "Return a list with one element for each item, in the same order."
    ),
    "discarded": ErrorKind(
        409, "Not started in time", "See the reason; if it was too late, raise `discard_after` or add runners."
    ),
    "diverged": ErrorKind(409, "The code changed under a running execution", "Restore the step, or restart from it."),
    "version_changed": ErrorKind(409, "No runner has its version any more", "Start one that has it, resume or rerun."),
    "step_interrupted": ErrorKind(
        409, "A step may have run already", "Find out whether it did; if not, rerun the execution from this step."
    ),
    "not_undone": ErrorKind(409, "Some steps were not undone", "Undo the steps named there by hand."),
    "rejected": ErrorKind(409, "Somebody said no", "See the reason."),
    "cancelled": ErrorKind(409, "The execution was cancelled", "Rerun it if that was a mistake."),
    # Between our own parts; callers never see these.
    "activation_closed": ErrorKind(409, "This activation is over", "Acknowledge the item and forget it."),
    "activation_owned": ErrorKind(409, "Another runner owns this activation", "Look at its lease."),
    "already_exists": ErrorKind(409, "The execution exists", "Answer with the existing one."),
}


class Rejected(Exception):  # noqa: N818 - it reads as a claim: "the command was rejected"
    """A caller's mistake: a code of the catalogue, a sentence, and facts about it.

    `pointers` are (JSON pointer, detail) pairs of the fields at fault; `members` are further members of the problem
    document.
    """

    def __init__(
        self, code: str, detail: str, *, pointers: list[tuple[str, str]] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.pointers = pointers or []
        self.members = members

    @property
    def kind(self) -> ErrorKind:
        return CATALOGUE[self.code]
