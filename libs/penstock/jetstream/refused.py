"""Why a process will not start: a code, what happened, and what to do about it."""


class StartRefused(Exception):  # noqa: N818 - it reads as a claim: "the start was refused"
    """Nothing can be served until somebody acts. `str()` is the whole story in one or two sentences."""

    def __init__(self, code: str, detail: str, remedy: str) -> None:
        super().__init__(f"{detail} {remedy}")
        self.code = code
        self.detail = detail
        self.remedy = remedy
