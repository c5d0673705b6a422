"""The keys of an installation, each given by a setting, or made at the first start and kept in the data directory:
the admin API key, and the key that signs tokens.
"""

import os
import secrets
from pathlib import Path

from penstock.jetstream.refused import StartRefused
from penstock.service.settings import Settings

KEY_FILE = "api-key"
KEY_PREFIX = "pk_"
SIGNING_KEY_FILE = "signing-key"


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
    return _kept(settings, key_path(settings), key)


def ensure_signing_key(settings: Settings) -> bytes:
    """The key that signs tokens, made now if there is none. Services that share a data directory share it.

    Raises StartRefused when the data directory cannot be used.
    """
    if settings.signing_key:
        return settings.signing_key.encode()
    path = settings.data_path / SIGNING_KEY_FILE
    try:
        return _kept(settings, path, secrets.token_urlsafe(32))[0].encode()
    except OSError as error:
        raise StartRefused(
            "signing_key_unreadable",
            f"{path} cannot be read or made ({error.strerror}).",
            "Set PENSTOCK_SIGNING_KEY, the same for all services, or PENSTOCK_DATA_DIR.",
        ) from None


def _kept(settings: Settings, path: Path, fresh: str) -> tuple[str, bool]:
    """What the file holds, or `fresh`, which it then holds; the second value says which."""
    known = _read(path)
    if known:
        return known, False
    prepare_data_dir(settings)
    # Written beside and linked: a start that dies here leaves no half key behind, and of two starts at once the first
    # makes the key of both.
    draft = path.with_suffix(f".{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(fresh + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        if known := _read(path):
            return known, False
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return fresh, True


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
