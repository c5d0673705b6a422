"""What a caller sends to start one execution of a function, over HTTP and over NATS."""

import msgspec
from msgspec import Raw

from penstock.domain.function.options import CallOptions


class ExecutionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The arguments of the function by position and by name, and options."""

    args: Raw = Raw(b"[]")
    kwargs: Raw = Raw(b"{}")
    options: CallOptions = CallOptions()
