"""The file with channels and rules of notifications, and the secrets that it names. Errors say the line."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from penstock.domain.errors import Rejected
from penstock.domain.notify.channels import Channel, secret_names
from penstock.domain.notify.config import Misconfigured, NotifyConfig, parse_config
from penstock.service.settings import Settings

FILE = "notify.toml"
SECRET_CHARS_MAX = 16 * 1024


def config_path(settings: Settings) -> Path:
    """Where the file is looked for."""
    return Path(settings.notify_config).expanduser() if settings.notify_config else settings.data_path / FILE


def load_config(settings: Settings) -> NotifyConfig:
    """What is configured; nothing if no file is named and the usual place has none.

    Raises Rejected `invalid_config` with the file and the line at fault.
    """
    path = config_path(settings)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not settings.notify_config:
            return NotifyConfig()
        raise Rejected("invalid_config", f"PENSTOCK_NOTIFY_CONFIG names {path}, and there is no such file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Rejected("invalid_config", f"{path} cannot be read ({error}).") from None
    try:
        return parse_config(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise Rejected("invalid_config", f"{path} is no valid TOML: {error}.") from None
    except Misconfigured as error:
        line = line_of(text, error.table, error.key)
        place = f"{path}, line {line}" if line else str(path)
        raise Rejected("invalid_config", f"{place}: {error.detail}", pointers=error.pointers) from None


def line_of(text: str, table: str, key: str) -> int | None:
    """The line (from 1) on which this key of this table stands; that of the table for a key that is not there."""
    header = re.compile(r"^\s*\[\s*" + re.escape(table) + r"(?:\.([\w-]+))?\s*\]")
    assignment = re.compile(r"^\s*[\"']?" + re.escape(key) + r"[\"']?\s*[=.]")
    found = None
    inside = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("["):
            match = header.match(line)
            inside = match is not None
            if match is not None and (match[1] == key or found is None):
                found = number
        elif inside and key and assignment.match(line):
            return number
    return found


def read_secret(source: str, environ: Mapping[str, str] = os.environ) -> str:
    """The secret that `env:NAME` or `file:/path` names. It is read at every use, so that a changed file counts at once.

    Raises Rejected `invalid_config`, which names the place and never what is there.
    """
    kind, _, place = source.partition(":")
    if kind == "env":
        value = environ.get(place, "").strip()
        if not value:
            raise Rejected("invalid_config", f"The environment variable {place} is not set, and a channel needs it.")
        return value
    try:
        with Path(place).expanduser().open(encoding="utf-8") as file:
            value = file.read(SECRET_CHARS_MAX).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Rejected("invalid_config", f"The secret file {place} cannot be read ({type(error).__name__}).") from None
    if not value:
        raise Rejected("invalid_config", f"The secret file {place} is empty.")
    return value


def check_secrets(channels: Mapping[str, Channel], environ: Mapping[str, str] = os.environ) -> None:
    """Raises Rejected `invalid_config` naming the first channel whose secret is not where it should be."""
    for name, channel in channels.items():
        for field, source in secret_names(channel):
            try:
                read_secret(source, environ)
            except Rejected as error:
                raise Rejected("invalid_config", f"channels.{name}.{field}: {error.detail}") from None
