"""Set-based statements: arrays in, `unnest`, one INSERT a table. Each is built once a table and cached by SQLAlchemy.

Rows are written in the order of their primary key by every writer, so that two of them meet in the same order and cannot wait
for each other in a circle; and no key comes twice in a statement, which PostgreSQL refuses.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ARRAY, Column, ColumnElement, Select, Table, Text, bindparam, func, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import FromClause
from sqlalchemy.types import TypeEngine

from readmodel.control import POSITIONS
from readmodel.database import Within
from readmodel.folding import Sums

Rows = Sequence[Mapping[str, Any]]


def array_of(kind: TypeEngine[Any]) -> ARRAY[Any]:
    """The array type to pass values of a column in; a collation belongs to the column, not to the value."""
    return ARRAY(Text() if isinstance(kind, Text) else kind)


def given(columns: Sequence[Column[Any]]) -> FromClause:
    """`unnest(:a, :b) AS given(a, b)`: one array a column, each bound under the column's name."""
    arrays = [bindparam(column.name, type_=array_of(column.type)) for column in columns]
    return func.unnest(*arrays).table_valued(*(Column(column.name, column.type) for column in columns), name="given").render_derived()


@lru_cache
def _guarded(table: Table) -> Insert:
    """Rows that hold a position: put, and put over older ones only."""
    columns = list(table.columns)
    source = given(columns)
    wanted = select(*(source.c[column.name] for column in columns)).order_by(
        *(source.c[column.name] for column in table.primary_key.columns)
    )
    statement = insert(table).from_select([column.name for column in columns], wanted, include_defaults=False)
    changed = {column.name: statement.excluded[column.name] for column in columns if not column.primary_key}
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns), set_=changed, where=table.c.version < statement.excluded.version
    )


@lru_cache
def _summing(table: Table, add: tuple[str, ...], highest: tuple[str, ...]) -> Insert:
    """Deltas: added to what is there, or the first of their row."""
    columns = [*table.primary_key.columns, *(table.c[name] for name in (*add, *highest))]
    source = given(columns)
    wanted = select(*(source.c[column.name] for column in columns)).order_by(
        *(source.c[column.name] for column in table.primary_key.columns)
    )
    statement = insert(table).from_select([column.name for column in columns], wanted, include_defaults=False)
    changed: dict[str, Any] = {name: table.c[name] + statement.excluded[name] for name in add}
    changed |= {name: func.greatest(table.c[name], statement.excluded[name]) for name in highest}
    index = list(table.primary_key.columns)
    return (
        statement.on_conflict_do_update(index_elements=index, set_=changed)
        if changed
        else (statement.on_conflict_do_nothing(index_elements=index))
    )


async def write_rows(connection: AsyncConnection | Within, table: Table, rows: Rows) -> None:
    """Home rows or positions, one a key; older ones than what is there change nothing."""
    if rows:
        values = {column.name: [row[column.name] for row in rows] for column in table.columns}
        await connection.execute(_guarded(table), values)


async def write_sums(connection: AsyncConnection | Within, table: Table, sums: Sums) -> None:
    """Summed deltas; the caller's positions see to it that each comes once."""
    keys = sorted(sums.add)
    add = tuple(sorted({name for columns in sums.add.values() for name in columns}))
    highest = tuple(sorted({name for columns in sums.highest.values() for name in columns}))
    values: dict[str, list[Any]] = {column.name: [key[place] for key in keys] for place, column in enumerate(table.primary_key.columns)}
    values |= {name: [sums.add[key].get(name, 0) for key in keys] for name in add}
    nothing: dict[str, Any] = {}
    values |= {name: [sums.highest.get(key, nothing).get(name) for key in keys] for name in highest}
    await connection.execute(_summing(table, add, highest), values)


def any_stream() -> ColumnElement[Any]:
    """`ANY(:streams)`: to compare a stream column with."""
    return func.any(bindparam("streams", type_=ARRAY(Text())))


@lru_cache
def of_streams(table: Table) -> Select[Any]:
    """Home rows of `:streams`."""
    return select(table).where(table.c.stream == any_stream())


@lru_cache
def positions_of() -> Select[Any]:
    """Positions of `:streams` for the projection `:projector`."""
    return of_streams(POSITIONS).where(POSITIONS.c.projector == bindparam("projector", type_=Text()))
