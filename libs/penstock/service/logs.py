"""Log lines of the services: for people or as JSON, quiet unless something is wrong, never with a secret."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from penstock.service.settings import Settings

HIDDEN = "(hidden)"
_SECRET_NAME = re.compile(r"key|password|passwd|secret|token|authorization|credential", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"pk_[A-Za-z0-9_-]{8,}|(?<=://)[^/@\s:]*:[^/@\s]+(?=@)|(?<=Bearer )\S+")
# Names that match the pattern above but say nothing secret.
_HARMLESS = frozenset({"idempotency_key", "key_file", "token_count"})


def hide_secrets(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The line without passwords, keys and the user part of URLs."""
    for name, value in line.items():
        if _SECRET_NAME.search(name) and name not in _HARMLESS:
            line[name] = HIDDEN
        elif isinstance(value, str):
            line[name] = _SECRET_TEXT.sub(HIDDEN, value)
    return line


def configure_logs(settings: Settings, process: str = "") -> None:
    """Send the lines of structlog and of the standard library to stderr, as the settings say."""
    level = logging.getLevelName(settings.log_level.upper())
    if not isinstance(level, int):
        level = logging.WARNING
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if process:
        shared.append(_named(process))
    last: list[Any] = [structlog.processors.format_exc_info, hide_secrets]
    if settings.log_format == "json":
        last.append(structlog.processors.JSONRenderer())
    else:
        last.append(
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    # What libraries log goes through the same last steps, so that it looks and hides alike.
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def _named(process: str) -> Any:
    def add(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line["process"] = process
        return line

    return add
