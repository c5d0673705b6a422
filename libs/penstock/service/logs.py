"""Log lines of the services: for people or as JSON, quiet unless something is wrong, never with a secret."""

import io
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn, TextIO

import structlog

from penstock.domain.errors import CATALOGUE
from penstock.service.concern import concern_fields
from penstock.service.container import is_in_container
from penstock.service.settings import Settings

HIDDEN = "(hidden)"
_SECRET_NAME = re.compile(r"key|password|passwd|secret|token|authorization|credential|cookie", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"pk_[A-Za-z0-9_-]{8,}|(?<=://)[^/@\s:]*:[^/@\s]+(?=@)|(?<=Bearer )\S+"
    r"|whsec_[A-Za-z0-9+/=_-]{8,}|xox[a-z]-[A-Za-z0-9-]{8,}|(?<=hooks\.slack\.com/)[A-Za-z0-9/_-]+"
)
# Names that match the pattern above but say nothing secret.
_HARMLESS = frozenset({"idempotency_key", "key_file", "token_count"})

logger = structlog.get_logger("penstock")


def hide_secrets(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The line without passwords, keys and the user part of URLs."""
    for name, value in line.items():
        line[name] = HIDDEN if _is_secret(name) else _without_secrets(value)
    return line


def _is_secret(name: object) -> bool:
    return isinstance(name, str) and _SECRET_NAME.search(name) is not None and name not in _HARMLESS


def _without_secrets(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRET_TEXT.sub(HIDDEN, value)
    if isinstance(value, Mapping):
        return {name: HIDDEN if _is_secret(name) else _without_secrets(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_secrets(each) for each in value]
    if isinstance(value, BaseException):
        return _SECRET_TEXT.sub(HIDDEN, str(value) or type(value).__name__)
    return value


def add_concern(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The line with the ids of what the work is about, unless the line itself names another execution."""
    fields = concern_fields()
    if line.get("execution", fields.get("execution")) == fields.get("execution"):
        for name, value in fields.items():
            line.setdefault(name, value)
    return line


def is_json(settings: Settings) -> bool:
    """Whether lines are for programs: as the setting says, else in a container whose stderr nobody watches."""
    if settings.log_format != "auto":
        return settings.log_format == "json"
    return not sys.stderr.isatty() and is_in_container()


class Lossy(io.StringIO):
    """A stream whose lines may get lost: what is told must not fail because a full disk does not take the line."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def configure_logs(settings: Settings, process: str = "") -> None:
    """Send the lines of structlog and of the standard library to stderr, as the settings say."""
    level = logging.getLevelName(settings.log_level.upper())
    if not isinstance(level, int):
        level = logging.WARNING
    as_json = is_json(settings)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_concern,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if process:
        shared.append(_named(process))
    last: list[Any] = [structlog.processors.format_exc_info, hide_secrets]
    if as_json:
        last.append(structlog.processors.JSONRenderer(ensure_ascii=False))
    else:
        last.append(
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(Lossy(sys.stderr)),
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
    if as_json:
        logging.captureWarnings(True)
        sys.excepthook = _log_uncaught


def refuse_in_a_line(code: str, detail: str, remedy: str = "") -> NoReturn:
    """Say why nothing was started, where lines are for programs, and leave with exit code 1."""
    hint = remedy or (CATALOGUE[code].hint if code in CATALOGUE else "")
    logger.error("start_refused", code=code, detail=detail, remedy=hint)
    raise SystemExit(1)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logger.critical("process_broke", exc_info=(kind, error, trace))


def _named(process: str) -> Any:
    def add(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line["process"] = process
        return line

    return add
