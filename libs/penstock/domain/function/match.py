"""Which functions an event starts."""

from collections.abc import Iterable

from penstock.domain.function.options import FunctionSpec


def matches(pattern: str, name: str) -> bool:
    """True if the event name fits: `*` stands for one token, and a last `*` for one or more."""
    want, have = pattern.split("."), name.split(".")
    if want[-1] == "*" and len(have) > len(want):
        have = have[: len(want)]
    return len(want) == len(have) and all(w in ("*", h) for w, h in zip(want, have, strict=True))


def subscribers(functions: Iterable[FunctionSpec], name: str) -> list[FunctionSpec]:
    """The functions with a pattern that fits, in order of their names."""
    found = [spec for spec in functions if any(matches(pattern, name) for pattern in spec.on)]
    return sorted(found, key=lambda spec: spec.name)
