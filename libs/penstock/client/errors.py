"""What calls to Penstock raise."""

from typing import Any

from penstock.domain.errors import CATALOGUE


class PenstockError(Exception):
    """A refusal: `code` of the catalogue, the sentence in `detail`, the HTTP `status`, and `errors` by field."""

    def __init__(
        self, code: str, detail: str, status: int = 0, errors: list[dict[str, Any]] | None = None, **members: Any
    ) -> None:
        super().__init__(f"{detail} ({code})")
        self.code = code
        self.detail = detail
        self.status = status or (CATALOGUE[code].status if code in CATALOGUE else 0)
        self.errors = errors or []
        self.members = members


class ExecutionFailed(PenstockError):  # noqa: N818 - it reads as a claim
    """An execution ended without a result. `type` is that of the exception raised by the function, if it was one."""

    def __init__(self, execution_id: str, state: str, code: str, type: str, message: str, stack: str = "") -> None:  # noqa: A002
        super().__init__(code, f"Execution {execution_id} {state}: {f'{type}: ' if type else ''}{message}")
        self.execution_id = execution_id
        self.state = state
        self.type = type
        self.message = message
        self.stack = stack
