"""What a command does on NATS itself and not over the API, and what is said when it cannot."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from penstock.cli.output import fail, fail_with
from penstock.domain.errors import Rejected
from penstock.jetstream.refused import StartRefused
from penstock.ports import Unavailable

T = TypeVar("T")

START = "Start `penstock up`, or correct PENSTOCK_NATS_URL."


def run(errand: Coroutine[Any, Any, T], *, as_json: bool, remedy: str = START) -> T:
    """What it answers. Leaves the program with the problem if there is one; `remedy` is for who does not answer."""
    try:
        return asyncio.run(errand)
    except Rejected as error:
        fail_with(error, as_json=as_json)
    except StartRefused as refusal:
        fail(refusal.code, refusal.detail, refusal.remedy, as_json=as_json)
    except Unavailable as error:
        fail("unavailable", str(error), remedy, as_json=as_json)
