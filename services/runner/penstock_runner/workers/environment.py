"""The environment variables of user code: a stated list, never the service's own."""

import os
from collections.abc import Mapping

from penstock.service.settings import PREFIX

PASSED = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "PYTHONPATH")


def worker_environment(extra: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a worker process sees; `extra` are further names, comma-separated. Our own settings are never among them."""
    names = [*PASSED, *(name.strip() for name in extra.split(",") if name.strip())]
    passed = {name: environ[name] for name in names if name in environ and not name.startswith(PREFIX)}
    return {**passed, "TZ": "UTC"}
