"""Errors in Defer's words: `error` for programs, `message` for people, and the codes of failed executions."""

from penstock.domain.errors import CATALOGUE

_WORDS = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "payload_too_large",
    503: "unavailable",
}
"""Status -> code. Defer's clients name 400, 404, 409; what is missing here is an `internal_error`."""

_STATUSES = {"unknown_function": 400, "unsupported_media_type": 400}
"""Where Defer answers with another status than we do."""

_HINTS = {
    "unknown_function": "",
    "unknown_execution": "",
    "wrong_state": "",
    "invalid_query": "",
    "unknown_route": "",
    "method_not_allowed": "",
    "unauthorized": "Set DEFER_TOKEN to the API key.",
    "unavailable": "Try again.",
}
"""What to do, where our own hint speaks of what these callers do not have; sentences of Defer stand alone."""

ERROR_CODES = {"timed_out": "ER0001", "out_of_memory": "ER0002", "user_error": "ER0003", "crashed": "ER0003"}
"""Our code of a failed execution -> Defer's: TimeoutError, OOMError, NonZeroExitCodeError."""

INTERNAL_ERROR = "ER0000"
"""All others."""

KNOWN_ERROR_CODES = frozenset({INTERNAL_ERROR, *ERROR_CODES.values()})


def error_code(code: str) -> str:
    """Defer's code of an execution that failed with ours."""
    return ERROR_CODES.get(code, INTERNAL_ERROR)


def refusal(code: str, detail: str, sentence: str) -> tuple[int, dict[str, str]]:
    """Status and body for an error of our catalogue; `sentence` is `detail` with the hint."""
    status = _STATUSES.get(code, CATALOGUE[code].status)
    if status == 422:
        status = 400
    word = _WORDS.get(status, "internal_error")
    message = f"{detail} {_HINTS[code]}".rstrip() if code in _HINTS else sentence
    return status, {"error": word, "message": message}


def cannot_find_function(name: str) -> str:
    return f'cannot find function "{name[:80]}"'


def cannot_find_execution(execution_id: str) -> str:
    return f'cannot find execution "{execution_id[:80]}"'


def cannot_cancel(state: str) -> str:
    return f"cannot cancel execution in {state} state"


def cannot_reschedule(state: str) -> str:
    return f"cannot reschedule execution in {state} state"
