"""What all facts of an execution share, and the values that several of them carry."""

from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

if TYPE_CHECKING:
    OptionalRaw = Raw | None
else:
    # msgspec decodes no union with Raw: `Raw | None` would take JSON null only. Left out, the field is still None.
    OptionalRaw = Raw


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong in an attempt: a code of the catalogue, and the exception as text.

    `step` is the step without retries of its own that it came out of, if any, and `step_at` when that had begun (µs).
    """

    code: str
    type: str = ""
    message: str = ""
    stack: str = ""
    step: str = ""
    step_at: int = 0


class Link(msgspec.Struct, frozen=True):
    """A span elsewhere that caused this execution without being its parent."""

    trace_id: str
    span_id: str


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """The part that all facts share.

    `id` is unique to one act of publishing: it tells a stored fact of ours from a rival's.
    """

    n: int
    at: int
    id: str = ""
    v: int = 1
