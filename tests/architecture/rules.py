"""The import table as data: which package may import what beyond the standard library. libs/README.md explains it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CORE = ("penstock.domain", "penstock.wire", "penstock.ports", "penstock.handle")
KIT = ("penstock.jetstream", "penstock.service", "penstock.telemetry")
SERVICE = ("msgspec", "structlog", *CORE, *KIT)

# The longest prefix that fits a module is its row.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "penstock.domain": ("msgspec", "durationpy", "penstock.domain"),
    "penstock.domain.execution": ("msgspec", "immutables", "penstock.domain"),
    "penstock.domain.schedule.ticks": ("msgspec", "croniter", "penstock.domain"),
    "penstock.wire": ("msgspec", "penstock.domain", "penstock.wire"),
    "penstock.ports": ("msgspec", "penstock.domain"),
    "penstock.handle": ("msgspec", *CORE),
    "penstock.defer": ("msgspec", "penstock.defer", *CORE),
    "penstock": ("penstock.client", "penstock.functions"),
    "penstock.functions": ("msgspec", "cel", "penstock.functions", "penstock.client", *CORE),
    "penstock.client": (
        *("msgspec", "httpx2", "penstock.client", "penstock.functions", "penstock.domain", "penstock.service.settings"),
        "penstock.wire.sse",
    ),
    "penstock.jetstream": ("nats", "msgspec", "structlog", "penstock.jetstream", *CORE),
    "penstock.egress": ("httpcore2", "standardwebhooks", "penstock.egress", *CORE),
    "penstock.telemetry": ("opentelemetry", "msgspec", "structlog", "penstock.telemetry", *CORE),
    "penstock.service": ("cel", "litestar", "uvicorn", "msgspec", "structlog", "penstock.defer", *CORE, *KIT),
    "penstock.cli": (
        *("cyclopts", "rich", "httpx2", "msgspec", "structlog", "uvloop"),
        *("penstock.cli", "penstock.bench", *CORE, *KIT),
    ),
    "penstock.bench": ("nats", "msgspec", "httpx2", "rich", "structlog", "penstock", "uvloop"),
    "penstock.testing": (
        *("msgspec", "pytest", "httpx2", "penstock.testing", "penstock.functions", "penstock.client", *CORE),
    ),
    "penstock.examples": ("penstock", "PIL", "msgspec"),
    "penstock_ingest": (
        *(*SERVICE, "litestar", "cel", "jsonschema_rs", "uuid_utils"),
        *("penstock.defer", "penstock_ingest"),
    ),
    "penstock_ingest.defer": (*CORE, "msgspec", "litestar", "penstock.defer", "penstock.service", "penstock_ingest"),
    "penstock_scheduler": (*SERVICE, "uuid_utils", "penstock_scheduler"),
    "penstock_runner": (
        *(*SERVICE, "uvloop", "uuid_utils", "opentelemetry"),
        *("penstock_runner", "penstock", "penstock.functions", "penstock.client", "penstock.defer"),
        *("penstock.egress", "standardwebhooks"),
    ),
    "penstock_notifier": (*SERVICE, "litestar", "aiosmtplib", "penstock.egress", "penstock_notifier"),
    "penstock_query": (*SERVICE, "litestar", "sqlalchemy", "penstock.defer", "penstock_query"),
    "penstock_query.defer": (
        *(*CORE, "msgspec", "sqlalchemy", "penstock.defer", "penstock.jetstream.lines", "penstock_query"),
    ),
}

ENTRY_POINTS = ("penstock.cli.main",)
"""`python -m penstock_<service>` is a command line, so each `__main__` may import it."""

PURE = (
    *("penstock.domain", "penstock.wire", "penstock.defer"),
    *("penstock_query.defer.paging", "penstock_query.defer.requests", "penstock_query.defer.values"),
)

IMPURE = ("asyncio", "os", "socket", "logging", "random", "time", "secrets", "threading", "subprocess")
"""What these may not touch: the world, the clock and chance."""

FORBIDDEN_EVERYWHERE = ("pickle", "marshal", "shelve", "dill", "cloudpickle")

LONG_MODULES: dict[str, str] = {}
"""Module -> why it may be longer than the limit."""

BANNED_NAMES = frozenset({"utils", "util", "helpers", "common", "core", "base", "manager", "managers", "misc", "tools"})


def sources() -> dict[str, Path]:
    """Dotted name -> file of every module of the product."""
    found = {}
    for top in [ROOT / "libs", *sorted(path for path in (ROOT / "services").iterdir() if path.is_dir())]:
        for path in sorted(top.rglob("*.py")):
            parts = path.relative_to(top).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = path
    return found


def row_of(module: str) -> str:
    """The row of the table that holds for this module."""
    fitting = [row for row in MAY_IMPORT if module == row or module.startswith(row + ".")]
    return max(fitting, key=len)
