"""Opening the view's database: SQLite in the data directory, or PostgreSQL by URL."""

import re
from typing import Any

from sqlalchemy import event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from penstock.domain.errors import Rejected
from penstock.ports import Unavailable
from penstock.service.settings import Settings
from penstock.wire.names import Names

BUSY_SECONDS = 10.0
READERS = 4


def view_url(settings: Settings, names: Names) -> URL:
    """Where the view is kept. Raises Rejected `invalid_option` for a URL of another database."""
    if not settings.database_url:
        settings.data_path.mkdir(parents=True, exist_ok=True)
        path = settings.data_path / f"view-{names.environment}.sqlite3"
        return URL.create("sqlite+aiosqlite", database=str(path))
    try:
        url = make_url(settings.database_url)
    except ArgumentError:
        raise Rejected("invalid_option", "PENSTOCK_DATABASE_URL is no database URL.") from None
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
    driver = drivers.get(url.drivername.split("+")[0])
    if driver is None or (driver.startswith("sqlite") and not url.database):
        raise Rejected("invalid_option", "PENSTOCK_DATABASE_URL must begin with postgresql:// or sqlite:///path.")
    return url.set(drivername=driver)


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def schema_of(names: Names, suffix: str = "") -> str:
    """The PostgreSQL schema of an environment's view."""
    return re.sub(r"[^a-z0-9]", "_", f"penstock_{names.environment}") + suffix


def open_engine(url: URL, schema: str, *, writer: bool) -> AsyncEngine:
    """An engine whose transactions are snapshots; a writer's takes the write lock when it begins."""
    if is_sqlite(url):
        engine = create_async_engine(url, pool_size=1 if writer else READERS, max_overflow=0, pool_timeout=30)
        _prepare_sqlite(engine, "BEGIN IMMEDIATE" if writer else "BEGIN")
        return engine
    return create_async_engine(
        url,
        pool_size=1 if writer else READERS,
        max_overflow=0 if writer else READERS,
        pool_pre_ping=True,
        isolation_level="READ COMMITTED" if writer else "REPEATABLE READ",
        connect_args={"server_settings": {"search_path": f'"{schema}"'}, "timeout": 10},
    )


def _prepare_sqlite(engine: AsyncEngine, begin: str) -> None:
    def on_connect(connection: Any, _record: Any) -> None:
        # The driver begins no transaction for a SELECT, and then two reads of one answer see two moments.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        cursor.execute("PRAGMA journal_mode = WAL")
        # A commit lost with the power comes again from the log.
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA cache_size = -32000")
        cursor.close()

    def on_begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine.sync_engine, "connect", on_connect)
    event.listen(engine.sync_engine, "begin", on_begin)


async def create_schema(url: URL, schema: str) -> None:
    """Make the schema on PostgreSQL; SQLite needs none. Raises Unavailable, or Rejected where the driver is missing."""
    if is_sqlite(url):
        return
    try:
        engine = create_async_engine(url)
    except ModuleNotFoundError:
        raise Rejected("invalid_option", "PostgreSQL needs its driver: pip install 'penstock[postgres]'.") from None
    try:
        async with engine.begin() as connection:
            # Two processes that start together would otherwise collide in the catalogue.
            await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('penstock-view'))"))
            await connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
    except (OSError, SQLAlchemyError) as error:
        raise Unavailable(f"The database of PENSTOCK_DATABASE_URL does not answer ({type(error).__name__}).") from None
    finally:
        await engine.dispose()
