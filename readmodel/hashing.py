"""One hash over all that a generation of the read model holds, computed where the rows are: a million of them in seconds.

Each row is hashed as PostgreSQL's own text of its columns by name (times in UTC, as all our sessions have them; no value and an empty
text differ), the hashes are taken in the order of the primary key, a page at a time. So what was written when and in which order does
not show, nor does the order of columns in the table; everything else does, the positions in home rows included.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, LargeBinary, Select, Table, Text, cast, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from readmodel.control import POSITIONS, READ_MODEL, schema_of
from readmodel.database import Database, database_errors
from readmodel.projection import Projection

PAGE: Final = 20_000
_NOTHING: Final = literal(b"", LargeBinary)


class TableDigest(NamedTuple):
    """Of one table: how many rows, and 64 hex digits over them."""

    rows: int
    digest: str


async def generation_digest(database: Database, projections: Iterable[Projection]) -> dict[str, TableDigest]:
    """Of every table of these projections, and of their positions where they have no home table; in one snapshot. Raises Retryable."""
    with database_errors():
        async with database.engine.connect() as connection:
            still = await connection.execution_options(isolation_level="REPEATABLE READ")
            return await digests(still, projections, database.generation)


async def digests(connection: AsyncConnection, projections: Iterable[Projection], generation: int) -> dict[str, TableDigest]:
    """The same by the caller's connection, whichever generation its `search_path` names: so two are compared in one snapshot.

    How far the cache projector is (`positions` of `cache`) is not the read model's content, and left out. Raises the vendor's errors.
    """
    wanted = list(projections)
    here = await connection.execution_options(schema_translate_map={None: schema_of(generation)})
    found = {table.name: await _digest(here, table) for each in wanted for table in each.tables}
    names = sorted({READ_MODEL, *(each.name for each in wanted if each.home is None)})
    return found | {POSITIONS.name: await _digest(here, POSITIONS, POSITIONS.c.projector.in_(names))}


def overall(found: Mapping[str, TableDigest]) -> str:
    """One for all tables."""
    total = sha256()
    for name, each in sorted(found.items()):
        total.update(f"{name} {each.rows} {each.digest}\n".encode())
    return total.hexdigest()


async def _digest(connection: AsyncConnection, table: Table, only: ColumnElement[bool] | None = None) -> TableDigest:
    keys = list(table.primary_key.columns)
    total, rows = sha256(), 0
    after: tuple[Any, ...] | None = None
    while True:
        wanted = _rows(table) if only is None else _rows(table).where(only)
        if after is not None:
            wanted = wanted.where(tuple_(*keys) > tuple_(*after))
        many, hashed, *last = (await connection.execute(_page(wanted, keys))).one()
        if many:
            total.update(hashed)
        rows += many
        if many < PAGE:
            return TableDigest(rows, total.hexdigest())
        after = tuple(last)


@lru_cache
def _rows(table: Table) -> Select[Any]:
    """Key and hash of each row."""
    text = cast(func.row(*(column for _, column in sorted(table.columns.items()))), Text())
    return select(*table.primary_key.columns, func.sha256(func.convert_to(text, "UTF8"), type_=LargeBinary()).label("hash"))


def _page(wanted: Select[Any], keys: list[Any]) -> Select[Any]:
    """(rows, hash over their hashes, highest key) of the first PAGE of them; the key column by column, since max() takes no rows."""
    page = wanted.order_by(*keys).limit(PAGE).subquery("page")
    order = [page.c[key.name] for key in keys]
    hashes = func.string_agg(page.c.hash, aggregate_order_by(_NOTHING, *order), type_=LargeBinary())
    last = [func.array_agg(aggregate_order_by(each, *(other.desc() for other in order)))[1] for each in order]
    return select(func.count(), func.sha256(hashes, type_=LargeBinary()), *last)
