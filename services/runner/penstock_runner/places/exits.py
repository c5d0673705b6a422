"""What the end of a command means for the attempt. Pure.

| end | outcome |
| --- | --- |
| 0 | success: the JSON on file descriptor 3, or null |
| 64 usage, 65 data, 66 no input, 67 no user, 77 no permission, 78 configuration | fails for good |
| 75 and every other code | fails, and is tried again as the function's options say |
| a signal | the process crashed: tried again, three times at most |

The numbers are those of sysexits.h.
"""

import signal

from penstock.domain.limits import error_message_chars_max, error_stack_chars_max
from penstock.functions.failures import clean
from penstock_runner.places.result import judged
from penstock_runner.workers.assignment import Ending, Killed
from penstock_runner.workers.messages import Raised

TERMINAL = {64: "EX_USAGE", 65: "EX_DATAERR", 66: "EX_NOINPUT", 67: "EX_NOUSER", 77: "EX_NOPERM", 78: "EX_CONFIG"}
NAMED = {**TERMINAL, 75: "EX_TEMPFAIL", 126: "NotExecutable", 127: "NotFound"}


def ending_of(number: int, code: int, result: bytes | None, errors: bytes) -> Ending:
    """How the attempt ended; a negative code is a signal, `errors` the end of what it wrote to stderr."""
    if code < 0:
        return Killed("crashed", f"The command was ended by {_signal_name(-code)}.")
    if code == 0:
        return judged(number, result, "What the command wrote to file descriptor 3")
    tail = errors.decode("utf-8", "replace").strip()
    last = tail.rpartition("\n")[2].strip()
    return Raised(
        number,
        "user_error",
        NAMED.get(code, f"Exit{code}"),
        clean(f"The command ended with exit code {code}{': ' + last if last else '.'}", error_message_chars_max),
        clean(tail[-error_stack_chars_max:], error_stack_chars_max),
        terminal=code in TERMINAL,
    )


def _signal_name(number: int) -> str:
    try:
        return f"signal {signal.Signals(number).name}"
    except ValueError:
        return f"signal {number}"
