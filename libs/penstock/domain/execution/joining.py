"""The facts of executions that do not run themselves: they follow a leader, and end as it ends."""

from typing import Literal

from penstock.domain.execution.fact import Fact

JoinReason = Literal["debounce", "singleton", "batch"]


class Joined(Fact, frozen=True, kw_only=True, tag="joined"):
    """Flow control decided that it follows `leader`; it is not run and holds no slot."""

    leader: str
    reason: JoinReason
    index: int | None = None
    """Its place in a batch: its result is this element of the leader's."""


class Followed(Fact, frozen=True, kw_only=True, tag="followed"):
    """These executions joined this one."""

    followers: list[str]
    reason: JoinReason
