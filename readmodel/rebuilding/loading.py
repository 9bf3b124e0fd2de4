"""Batches into the tables of a generation that nobody feeds yet: rows by COPY, sums added up, all of a batch or nothing.

No locks are taken: whoever applies to the same generation in the projector's way must not do so meanwhile (`building` sees to it).
Secondary indexes are made at the end, when all rows are there.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import asyncpg
from sqlalchemy import Index, Table, func, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateIndex, DropIndex

from events.domain import Registry
from readmodel.control import POSITIONS, schema_of
from readmodel.database import Database, database_errors, translated
from readmodel.domains import all_projections
from readmodel.errors import UnstorableData
from readmodel.rebuilding.folding import Batch, Values
from readmodel.writing import write_sums

INDEX_SECONDS: Final = 3_600
_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's has no annotations
Converter = Callable[[Any], Any]


class Loader:
    """Of one generation; `database` is at it."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._schema = schema_of(database.generation)
        self._converters: dict[Table, list[tuple[int, Converter]]] = {}
        self._tables = [table for each in all_projections(registry) for table in each.tables]

    async def write(self, batch: Batch) -> None:
        """In one transaction. Raises UnstorableData when a row cannot be or is there already, with nothing written; or Retryable."""
        try:
            sums = batch.sums()
        except TypeError as wrong:
            raise UnstorableData(f"values do not compare: {wrong}") from wrong
        with database_errors():
            async with self._database.engine.begin() as connection:
                for table in sorted(batch.rows, key=lambda table: str(table.name)):
                    await self._copy(connection, table, batch.rows[table])
                for table in sorted(sums, key=lambda table: str(table.name)):
                    await write_sums(connection, table, sums[table])

    async def _copy(self, connection: AsyncConnection, table: Table, rows: Sequence[Values]) -> None:
        # A statement first: the transaction begins with it, and COPY goes past SQLAlchemy.
        await connection.execute(select(func.set_config("statement_timeout", "60s", True)))
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        try:
            await driver.copy_records_to_table(
                table.name, records=self._converted(table, rows), columns=table.columns.keys(), schema_name=self._schema
            )
        except asyncpg.PostgresError as wrong:
            raise translated(str(wrong.sqlstate or ""), str(wrong)) from wrong
        except (TypeError, ValueError, OverflowError, asyncpg.InterfaceError) as wrong:
            raise UnstorableData(f"{table.name}: {type(wrong).__name__}: {wrong}") from wrong

    def _converted(self, table: Table, rows: Sequence[Values]) -> Iterable[Values]:
        """As the driver wants them: what SQLAlchemy's types would have done on the way (JSON, enums, types of the user's own)."""
        converters = self._converters.get(table)
        if converters is None:
            converters = self._converters[table] = list(_converters(table))
        return rows if not converters else (_convert(row, converters) for row in rows)

    async def without_indexes(self) -> None:
        """Before the first row."""
        await self._each_index(lambda index: DropIndex(index, if_exists=True))

    async def with_indexes(self) -> None:
        """After the last one; and the planner is told what is there."""
        await self._each_index(lambda index: CreateIndex(index, if_not_exists=True))

    async def _each_index(self, statement: Callable[[Index], Any]) -> None:
        with database_errors():
            async with self._database.engine.begin() as connection:
                await connection.execute(select(func.set_config("statement_timeout", f"{INDEX_SECONDS}s", True)))
                for table in self._tables:
                    # A unique one says no to rows, so it must be there while they come.
                    for index in sorted((each for each in table.indexes if not each.unique), key=lambda index: str(index.name)):
                        await connection.execute(statement(index))

    async def analyze(self) -> None:
        """So that the first queries after the switch are planned as those before it were."""
        with database_errors():
            async with self._database.engine.connect() as connection:
                alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
                quote = _DIALECT.identifier_preparer.quote
                for table in (*self._tables, POSITIONS):
                    await alone.execute(text(f"ANALYZE {quote(self._schema)}.{quote(table.name)}"))


def _converters(table: Table) -> Iterable[tuple[int, Converter]]:
    for place, column in enumerate(table.columns):
        kind = column.type.dialect_impl(_DIALECT)
        convert = kind.bind_processor(_DIALECT)
        if convert is not None:
            yield place, convert


def _convert(row: Values, converters: Sequence[tuple[int, Converter]]) -> Values:
    values = list(row)
    for place, convert in converters:
        values[place] = convert(values[place])
    return tuple(values)
