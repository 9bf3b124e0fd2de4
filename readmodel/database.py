"""PostgreSQL: an engine on one generation of the read model, bounded pools and waits, vendor errors translated at this edge."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import CursorResult, Executable, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from readmodel.control import CACHE, CONTROL_SCHEMA, GENERATIONS, READ_MODEL, schema_of
from readmodel.errors import DatabaseConflict, DatabaseUnavailable, NoSchema, OtherTables, UnstorableData
from runtime.errors import ConfigurationError
from runtime.settings import Settings

CONNECT_SECONDS: Final = 2.0
_CONFLICTS: Final = frozenset({"40001", "40P01"})
_TOO_LARGE: Final = "54000"
"""A key that no index takes."""
_NO_SCHEMA: Final = frozenset({"42P01", "3F000"})
_BY_DRIVER: Final = re.compile(r"(invalid input for query argument \$\d+): .*\(([^()]*)\)", re.DOTALL)
"""A value that asyncpg cannot send as its column's type. What it is comes before why."""
_OTHER_TABLES: Final = frozenset({"42703", "42804", "42P10"})
"""No such column, another type, no such key."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections a process may hold, and how long it waits: for one of them, and for one statement."""

    pool: int
    acquire_seconds: float
    statement_seconds: float
    one_by_one: bool = False
    """Every statement is its own transaction: a third of the round trips for readers, who need no more."""


PROJECTING: Final = Limits(pool=8, acquire_seconds=10, statement_seconds=20)
REFRESHING: Final = Limits(pool=8, acquire_seconds=10, statement_seconds=20, one_by_one=True)
READING: Final = Limits(pool=16, acquire_seconds=1, statement_seconds=3, one_by_one=True)
AUDITING: Final = Limits(pool=4, acquire_seconds=10, statement_seconds=120)
REBUILDING: Final = Limits(pool=8, acquire_seconds=60, statement_seconds=3_600)
"""An index over everything takes its time."""
FOLLOWING: Final = Limits(pool=1, acquire_seconds=2, statement_seconds=2, one_by_one=True)
"""A connection of its own for what must be asked every second, however busy the others are."""


@dataclass(frozen=True, slots=True)
class Database:
    """An engine for which the plain names of tables are those of one generation."""

    engine: AsyncEngine
    generation: int
    cache: int = 1
    """The generation of what Redis keeps of it."""

    def at(self, generation: int, cache: int = 1) -> "Database":
        """The same connections, another generation: for statements built of tables, not for SQL in text."""
        return Database(self.engine.execution_options(schema_translate_map=_tables_of(generation)), generation, cache)

    async def turn(self, connection: AsyncConnection, generation: int) -> AsyncConnection:
        """The same connection, in whatever transaction it is, against another generation from now on."""
        return await connection.execution_options(schema_translate_map=_tables_of(generation))

    def within(self, connection: AsyncConnection, generation: int) -> "Within":
        """Statements on one connection of this engine against another generation."""
        return Within(connection, {} if generation == self.generation else {"schema_translate_map": _tables_of(generation)})


class Within:
    """Statements on one connection, for which the plain names of tables are those of one generation."""

    __slots__ = ("_connection", "_options")

    def __init__(self, connection: AsyncConnection, options: Mapping[str, Any]) -> None:
        self._connection, self._options = connection, options

    async def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """As the connection's own."""
        return await self._connection.execute(statement, parameters, execution_options=self._options)


def _tables_of(generation: int) -> dict[str | None, str]:
    """What belongs to no generation names its schema itself, and keeps it."""
    return {None: schema_of(generation)}


@contextmanager
def database_errors() -> Iterator[None]:
    """Vendor errors out, ours in: UnstorableData (the data's fault), NoSchema, else DatabaseUnavailable (Retryable)."""
    try:
        yield
    except DBAPIError as wrong:
        raise translated(str(getattr(wrong.orig, "sqlstate", "") or ""), _first_line(wrong) or type(wrong.orig).__name__) from wrong
    except (SQLAlchemyError, TimeoutError, OSError) as wrong:
        raise DatabaseUnavailable(type(wrong).__name__) from wrong


def translated(state: str, said: str) -> Exception:
    """Ours for a SQLSTATE (empty: none) and what the server said."""
    if state[:2] in ("22", "23") or state == _TOO_LARGE:
        return UnstorableData(f"SQLSTATE {state}: {said}")
    if state in _CONFLICTS:
        return DatabaseConflict(f"SQLSTATE {state}")
    if state in _NO_SCHEMA:
        return NoSchema(f"SQLSTATE {state}: {said}")
    if state in _OTHER_TABLES:
        return OtherTables(f"SQLSTATE {state}: {said}")
    return DatabaseUnavailable(f"SQLSTATE {state}" if state else said)


def _first_line(wrong: DBAPIError) -> str:
    """What was said, without the statement, its parameters, and the value that it was about: this is stored, printed and logged."""
    said = str(wrong.orig).rpartition("'>: ")[2].strip()
    if (by_driver := _BY_DRIVER.fullmatch(said)) is not None:
        said = f"{by_driver[1]}: {by_driver[2]}"
    return said.splitlines()[0].partition(': "')[0][:300] if said else ""


def open_engine(settings: Settings, search_path: str, limits: Limits | None = None) -> AsyncEngine:
    """An engine; nothing is connected yet. Without limits: connections that are not kept. The caller disposes of it."""
    url, ssl = _url(settings)
    options: dict[str, Any] = (
        {"poolclass": NullPool}
        if limits is None
        else {"pool_size": limits.pool, "max_overflow": 0, "pool_timeout": limits.acquire_seconds, "pool_recycle": 1800}
    )
    if limits is not None and limits.one_by_one:
        options["isolation_level"] = "AUTOCOMMIT"
    arguments: dict[str, Any] = {
        "timeout": CONNECT_SECONDS,
        "command_timeout": limits.statement_seconds if limits else None,
        "server_settings": _server_settings(search_path, limits),
    }
    if ssl is not None:
        arguments["ssl"] = ssl
    return create_async_engine(url, connect_args=arguments, **options)


def _server_settings(search_path: str, limits: Limits | None) -> dict[str, str]:
    """The server ends what the client has given up on, whatever became of the client."""
    wanted = {"search_path": search_path, "timezone": "UTC", "jit": "off", "application_name": "headrace"}
    if limits is not None:
        milliseconds = str(int(limits.statement_seconds * 1000))
        wanted |= {"statement_timeout": milliseconds, "idle_in_transaction_session_timeout": milliseconds}
    return wanted


def _url(settings: Settings) -> tuple[URL, str | None]:
    """The driver's URL, and its `sslmode`, which asyncpg wants as an argument."""
    try:
        url = make_url(settings.database_url)
    except ArgumentError as wrong:
        raise ConfigurationError(["HEADRACE_DATABASE_URL: not a URL"]) from wrong
    ssl = url.query.get("sslmode")
    plain = url.set(drivername="postgresql+asyncpg").difference_update_query(["sslmode"])
    return plain, str(ssl) if ssl else None


class Shown(NamedTuple):
    """What queries read: which generation of the read model, and which of what Redis keeps of it."""

    generation: int
    cache: int


async def shown(engine: AsyncEngine) -> Shown:
    """As it is now. Raises NoSchema, DatabaseUnavailable."""
    with database_errors():
        async with engine.connect() as connection:
            wanted = select(GENERATIONS.c.projector, GENERATIONS.c.current)
            found = {row.projector: row.current for row in await connection.execute(wanted)}
    if READ_MODEL not in found:
        raise NoSchema("no generation of the read model; run `headrace provision`")
    return Shown(found[READ_MODEL], found.get(CACHE, 1))


@asynccontextmanager
async def open_database(settings: Settings, limits: Limits, generation: int | None = None) -> AsyncIterator[Database]:
    """What queries read now; or the generation named."""
    cache = 1
    if generation is None:
        plain = open_engine(settings, CONTROL_SCHEMA)
        try:
            generation, cache = await shown(plain)
        finally:
            await plain.dispose()
    engine = open_engine(settings, schema_of(generation), limits)
    try:
        yield Database(engine, generation, cache)
    finally:
        await engine.dispose()


async def check_database(database: Database) -> None:
    """For readiness: one round trip. Raises DatabaseUnavailable."""
    with database_errors():
        async with asyncio.timeout(CONNECT_SECONDS), database.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
