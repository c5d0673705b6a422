"""What user code sees of its surroundings: a stated list of variables, and none of the service's own files."""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from penstock.jetstream.access import PASSWORDS_FILE
from penstock.jetstream.server import CONFIG_FILE
from penstock.service.keys import KEY_FILE, SIGNING_KEY_FILE
from penstock.service.settings import PREFIX, Settings

PASSED = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "PYTHONPATH")


def worker_environment(extra: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a worker process sees; `extra` are further names, comma-separated. Our own settings are never among them."""
    names = [*PASSED, *(name.strip() for name in extra.split(",") if name.strip())]
    passed = {name: environ[name] for name in names if name in environ and not name.startswith(PREFIX)}
    return {**passed, "TZ": "UTC"}


def hidden_paths(settings: Settings) -> list[str]:
    """The data directory and the credentials; where the program itself lives in that directory, only its secrets."""
    data = settings.data_path
    needed = [os.getcwd(), sys.prefix, sys.base_prefix, tempfile.gettempdir(), *sys.path]
    is_needed = any(Path(path).resolve().is_relative_to(data) for path in needed if path)
    hidden = (
        [data / name for name in (KEY_FILE, SIGNING_KEY_FILE, PASSWORDS_FILE, CONFIG_FILE)] if is_needed else [data]
    )
    if settings.nats_credentials:
        hidden.append(Path(settings.nats_credentials).resolve())
    return [str(path) for path in hidden]
