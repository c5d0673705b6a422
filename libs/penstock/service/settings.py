"""The only reader of the environment: every PENSTOCK_* variable, its default and its meaning."""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from math import inf
from pathlib import Path
from typing import Annotated, get_args, get_type_hints

import msgspec

from penstock.domain.errors import Rejected
from penstock.domain.ids import ENVIRONMENT_NAME

PREFIX = "PENSTOCK_"
SIGNING_KEY_CHARS_MIN = 32
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - names what a client cannot connect to


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of a process.

    The variable is PENSTOCK_ and the field's name in capitals; the annotation explains it.
    """

    env: Annotated[str, "Environment: an isolated space with its own streams and keys."] = "dev"
    data_dir: Annotated[str, "Where the embedded NATS server, the view and the keys are kept."] = ".penstock"
    http_host: Annotated[str, "Address on which the HTTP port listens."] = "127.0.0.1"
    http_port: Annotated[int, "HTTP port of all doors."] = 8700
    nats_port: Annotated[int, "Port of the embedded NATS server (127.0.0.1 only)."] = 4222
    nats_url: Annotated[
        str, "URL of an external NATS server, or of a cluster's separated by commas; empty: start the embedded one."
    ] = ""
    nats_replicas: Annotated[int, "Replicas of each stream on an external cluster (1, 3 or 5)."] = 1
    nats_credentials: Annotated[str, "Path of a .creds file for an external NATS; empty: as in the URL."] = ""
    nats_passwords: Annotated[
        str, "On an external NATS: user=password,... of the services here, each of which then logs in by its name."
    ] = ""
    database_url: Annotated[str, "SQLAlchemy URL of the view; empty: SQLite in the data directory."] = ""
    api_key: Annotated[str, "Admin API key; empty: made at the first start and kept in the data directory."] = ""
    signing_key: Annotated[str, "Key that signs tokens of waits; empty: made and kept in the data directory."] = ""
    app: Annotated[str, "Module and attribute of the app that the runner serves, such as shop:app."] = ""
    node: Annotated[str, "Folder of JavaScript functions that the runner serves with Node.js, such as ./defer."] = ""
    sync_processes: Annotated[int, "Worker processes for plain `def` functions."] = 4
    async_processes: Annotated[int, "Worker processes shared by `async def` functions."] = 1
    grace: Annotated[float, "Seconds a stopping runner lets attempts finish before it hands them back."] = 10.0
    egress_allow: Annotated[
        str, "Hosts, addresses and networks (CIDR) that outgoing requests may reach though they are not public."
    ] = ""
    trace_url: Annotated[str, "Address of a trace viewer, with {trace_id} in it; empty: no links."] = ""
    netlify_open: Annotated[
        str, "Netlify functions that anybody may start, without the API key: names, comma-separated, or *."
    ] = ""
    netlify_origins: Annotated[
        str, "Origins whose pages may read the answers of Netlify functions (CORS), comma-separated, or *."
    ] = ""
    metrics_open: Annotated[bool, "Whether /metrics answers without the API key."] = False
    log_format: Annotated[
        str, "console, json, or auto: json in a container, unless stderr is a terminal, and console elsewhere."
    ] = "auto"
    log_level: Annotated[str, "debug, info, warning or error."] = "warning"
    url: Annotated[str, "Where clients find the HTTP port; unset: on this machine, at the port above."] = (
        "http://127.0.0.1:8700"
    )
    public_url: Annotated[
        str, "Where the outside reaches the HTTP port, for addresses in tokens and notifications; unset: the URL above."
    ] = "http://127.0.0.1:8700"
    isolate: Annotated[bool, "Keep user code from the files and processes of the services; then no sudo there."] = True
    notify_config: Annotated[
        str, "TOML file with the channels and rules of notifications; empty: notify.toml in the data directory, if any."
    ] = ""
    notify_arguments: Annotated[bool, "Whether notifications carry the arguments of executions."] = False
    worker_env: Annotated[str, "Names of environment variables that user code may see, comma-separated."] = ""

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir).expanduser().resolve()

    @property
    def page_url(self) -> str:
        """Where people find pages, without a slash at the end."""
        return self.public_url.rstrip("/")


ORIGIN = re.compile(r"\*|https?://[^/\s,]+")

SECRET = frozenset({"api_key", "nats_url", "nats_passwords", "database_url", "signing_key"})
"""Settings whose value is never printed."""

LEAST = {"sync_processes": 1, "async_processes": 1, "grace": 0}
CHOICES = {
    "nats_replicas": (1, 3, 5),
    "log_format": ("auto", "console", "json"),
    "log_level": ("debug", "info", "warning", "error"),
}


def explanations() -> dict[str, str]:
    """Field -> what it means."""
    hints = get_type_hints(Settings, include_extras=True)
    return {name: get_args(hint)[1] for name, hint in hints.items()}


def load_settings(environ: Mapping[str, str] = os.environ, **overrides: object) -> Settings:
    """Settings from the environment; `overrides` (those that are not None) go before it.

    Raises Rejected `invalid_option` naming the variable at fault.
    """
    known = set(Settings.__struct_fields__)
    found = {name: environ.get(PREFIX + name.upper()) for name in known}
    values: dict[str, object] = {name: value for name, value in found.items() if value}
    values.update({name: value for name, value in overrides.items() if value is not None})
    if "url" not in values:
        values["url"] = _local_url(values)
    if "public_url" not in values:
        values["public_url"] = values["url"]
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise _misfit(str(error), values) from None
    if not ENVIRONMENT_NAME.fullmatch(settings.env):
        raise Rejected("invalid_option", f"PENSTOCK_ENV must be a-z, 0-9 and '-' (1 to 32), not {settings.env!r}.")
    if any("=" not in each for each in settings.nats_passwords.split(",") if settings.nats_passwords):
        raise Rejected("invalid_option", "PENSTOCK_NATS_PASSWORDS must be user=password, several separated by commas.")
    if settings.signing_key and len(settings.signing_key) < SIGNING_KEY_CHARS_MIN:
        raise Rejected("invalid_option", f"PENSTOCK_SIGNING_KEY must have {SIGNING_KEY_CHARS_MIN} or more characters.")
    for origin in listed(settings.netlify_origins):
        if not ORIGIN.fullmatch(origin):
            example = "https://shop.example.com, without a slash at the end"
            raise Rejected("invalid_option", f"PENSTOCK_NETLIFY_ORIGINS: {origin[:80]!r} is no origin ({example}).")
    for name in ("http_port", "nats_port"):
        if not 0 <= getattr(settings, name) <= 65535:
            raise Rejected("invalid_option", f"PENSTOCK_{name.upper()} must be a port (0 to 65535).")
    for name, least in LEAST.items():
        value = getattr(settings, name)
        if not least <= value < inf:
            raise Rejected("invalid_option", f"{PREFIX}{name.upper()} must be {least} or more, not {value:g}.")
    for name, choices in CHOICES.items():
        if getattr(settings, name) not in choices:
            wanted = ", ".join(map(str, choices))
            raise Rejected(
                "invalid_option", f"{PREFIX}{name.upper()} is one of {wanted}, not {str(getattr(settings, name))[:80]}."
            )
    return settings


def unknown_variables(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Variables with our prefix that are no setting, each with the setting that is most like it."""
    known = sorted(PREFIX + name.upper() for name in Settings.__struct_fields__)
    given = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    near = {name: get_close_matches(name, known, 1, 0.8) for name in given}
    return [name + "".join(f" (did you mean {each}?)" for each in near[name]) for name in given]


def listed(text: str) -> frozenset[str]:
    """The items of a setting that is a list."""
    return frozenset(item.strip() for item in text.split(",") if item.strip())


def _local_url(values: Mapping[str, object]) -> str:
    """Where a client on this machine finds the HTTP port of these settings."""
    defaults = Settings()
    host = str(values.get("http_host", defaults.http_host))
    if host in ANY_ADDRESS:
        host = defaults.http_host
    return f"http://{f'[{host}]' if ':' in host else host}:{values.get('http_port', defaults.http_port)}"


def _misfit(complaint: str, values: Mapping[str, object]) -> Rejected:
    """The decoder's complaint with the variable in place of the field."""
    what, _, place = complaint.partition(" - at `$.")
    field = place.rstrip("`")
    if field not in values:
        return Rejected("invalid_option", f"A PENSTOCK_* setting is wrong: {complaint}")
    if "`bool`" in what:
        return Rejected("invalid_option", f"{PREFIX}{field.upper()} must be true or false, not {values[field]!r:.80}.")
    kind = "a whole number" if "`int`" in what else "a number" if "`float`" in what else "text"
    return Rejected("invalid_option", f"{PREFIX}{field.upper()} must be {kind}, not {str(values[field])[:80]!r}.")
