"""The admin API key: given by PENSTOCK_API_KEY, or made at the first start and kept in the data directory."""

import os
import secrets
from pathlib import Path

from penstock.service.settings import Settings

KEY_FILE = "api-key"
KEY_PREFIX = "pk_"


def key_path(settings: Settings) -> Path:
    """Where the key is kept when it does not come from the environment."""
    return settings.data_path / KEY_FILE


def prepare_data_dir(settings: Settings) -> Path:
    """The data directory, made if it is missing, open to its owner only."""
    path = settings.data_path
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def find_key(settings: Settings) -> str | None:
    """The key that is in force, or None before the first start."""
    if settings.api_key:
        return settings.api_key
    try:
        return key_path(settings).read_text(encoding="utf-8").strip() or None
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return None


def ensure_key(settings: Settings) -> tuple[str, bool]:
    """The key in force, made now if there is none; the second value says whether it was."""
    known = find_key(settings)
    if known is not None:
        return known, False
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    prepare_data_dir(settings)
    path = key_path(settings)
    # Written beside and renamed: a start that dies here leaves no half key behind.
    draft = path.with_suffix(f".{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    return key, True
