"""The shape of an answer to the question why an execution does not run."""

import msgspec

HOLDERS_MAX = 50


class Why(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The answer. `rule` is a word for programs, the sentences are for people."""

    rule: str
    detail: str
    starts_when: str
    target: str | None = None
    """The limit, as `PUT /v1/limits/...` names it."""
    key: str | None = None
    limit: int | None = None
    holders: list[str] = []
    """Executions with the slots, oldest first; at most 50. Of one that follows another: its leader."""
    holder_count: int = 0
    position: int | None = None
    """1: the next of its line."""
    at: int | None = None
    """When it may start, where the time alone decides (µs)."""
