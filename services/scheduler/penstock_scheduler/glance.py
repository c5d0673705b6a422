"""The few fields of facts that the agenda looks at; decoding the rest would cost more than all else."""

import msgspec


class GlancedWait(msgspec.Struct):
    """What is looked at of a wait."""

    key: str
    wait: str
    until: int | None = None
    group: str = ""
    name: str = ""
    match: dict[str, msgspec.Raw] = {}
    after: int = 0


class GlancedChild(msgspec.Struct):
    """What is looked at of a child."""

    id: str


class Glance(msgspec.Struct):
    """What is looked at of a fact of any kind."""

    kind: str = ""
    n: int = 0
    at: int = 0
    run_at: int | None = None
    retry_at: int | None = None
    discard_at: int | None = None
    deadline_at: int | None = None
    activation: int = 0
    attempt: int = 0
    runner: str = ""
    gated: bool = False
    waits: list[GlancedWait] = []
    wakes_at: int | None = None
    suspends: bool = False
    wait: str = ""
    call: str = ""
    children: list[GlancedChild] = []
    detached: bool = False
    child: str = ""


glance_at = msgspec.json.Decoder(Glance).decode
