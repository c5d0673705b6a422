"""Whose followers join next. A leader may be running, and its history may grow while a batch is on its way."""

from collections.abc import Collection

AT_ONCE_MAX = 250


class Leaders:
    """Many leaders share a batch; one whose history moves all the time is tried alone, so that it holds up nobody."""

    def __init__(self) -> None:
        self._at_once = AT_ONCE_MAX
        self._restless: dict[str, None] = {}
        """Refused when they were tried alone, the one tried last at the end."""
        self._calm_first = True

    def next(self, leaders: Collection[str]) -> list[str]:
        """The leaders of the next batch."""
        self._restless = {each: None for each in self._restless if each in leaders}
        self._calm_first = not self._calm_first
        calm = [each for each in leaders if each not in self._restless]
        if calm and (self._calm_first or not self._restless):
            return calm[: self._at_once]
        return list(self._restless)[:1]

    def stored(self) -> None:
        """The batch is in the log."""
        self._at_once = min(AT_ONCE_MAX, self._at_once * 2)

    def refused(self, leaders: list[str]) -> None:
        """One of them had moved, or somebody else decides."""
        self._at_once = max(1, len(leaders) // 4)
        if len(leaders) == 1:
            self._restless.pop(leaders[0], None)
            self._restless[leaders[0]] = None
