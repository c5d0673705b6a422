"""Answers of the HTTP API: success, or a problem document turned into an error."""

from typing import Any

import httpx2
import msgspec

from penstock.client.errors import PenstockError

DEFAULT_URL = "http://127.0.0.1:8700"


def problem_of(response: httpx2.Response) -> dict[str, Any]:
    """The members of the problem document; empty when the body is none."""
    try:
        return msgspec.json.decode(response.content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def check(response: httpx2.Response) -> None:
    """Nothing for a success. Raises PenstockError for anything else."""
    if response.status_code < 300:
        return
    problem = problem_of(response)
    standard = ("type", "title", "status", "detail", "code", "errors")
    raise PenstockError(
        str(problem.get("code") or "internal"),
        str(problem.get("detail") or problem.get("title") or f"HTTP {response.status_code}"),
        response.status_code,
        problem.get("errors"),
        **{name: value for name, value in problem.items() if name not in standard},
    )
