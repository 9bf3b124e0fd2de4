"""Two generations side by side, in PostgreSQL itself: where one is behind the other, and what differs where neither is.

Both are fed by the same transactions, so in one snapshot they are equal, whatever goes on, but for what was different before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, MetaData, Select, Table, and_, false, func, inspect, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.selectable import FromClause

from events.domain import Registry
from events.ids import StreamId, stream_id
from readmodel.control import PARKED, POSITIONS, schema_of
from readmodel.database import database_errors
from readmodel.domains import TAKEN_TABLES, projections_of
from readmodel.hashing import TableDigest, digests
from readmodel.projection import Projection

PAGE: Final = 1_000
NAMED: Final = 3
"""Differences that are named; all are counted."""


@dataclass(slots=True)
class Compared:
    """`tables`: of the new generation. `differences`: one sentence each; none: both hold the same."""

    tables: dict[str, TableDigest] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    apart: int = 0
    """Streams, once a projection, that are not at the same version."""
    only_new: list[str] = field(default_factory=list)
    """Projections that the old generation has not, or not of all streams since they were older than the projection."""


class Pair(NamedTuple):
    """Numbers of two generations."""

    old: int
    new: int


async def _tables_in(engine: AsyncEngine, generation: int) -> set[str]:
    with database_errors():
        async with engine.connect() as connection:
            return await connection.run_sync(lambda plain: set(inspect(plain).get_table_names(schema=schema_of(generation))))


async def strange_tables(engine: AsyncEngine, registry: Registry, generation: int) -> list[str]:
    """Tables of a generation that no projection of this process has: those of a domain that it was not told of."""
    known = {table.name for each in everyone(registry) for table in each.tables}
    return sorted(await _tables_in(engine, generation) - known - TAKEN_TABLES)


async def projections_in(engine: AsyncEngine, registry: Registry, generation: int) -> list[Projection]:
    """Those of this code whose tables are all there."""
    names = await _tables_in(engine, generation)
    return [each for each in everyone(registry) if all(table.name in names for table in each.tables)]


def everyone(registry: Registry) -> list[Projection]:
    """Whoever has positions: all projections, and what stands in for those of a domain that has none."""
    found = (each for domain in registry.domains for each in projections_of(registry, stream_id(domain.type, "1")))
    return list(dict.fromkeys(found))


async def behind(engine: AsyncEngine, registry: Registry, pair: Pair) -> list[StreamId]:
    """A page of streams that the new generation has less of than the old one, or than was spoken of while the old one had them parked,
    or of which one of its projections has less than another of the same domain has; those that are parked in the new one apart."""
    found: set[StreamId] = set()
    there = await projections_in(engine, registry, pair.old)
    with database_errors():
        async with engine.connect() as connection:
            for wanted in _lacking(registry, there, pair):
                rows = await connection.execute(wanted.limit(PAGE))
                found.update(StreamId(stream) for (stream,) in rows)
                if len(found) >= PAGE:
                    break
    return sorted(found)


def _lacking(registry: Registry, there: Sequence[Projection], pair: Pair) -> Iterable[Select[Any]]:
    for each in everyone(registry):
        if each in there:
            yield _less(each, _place(each, pair.old), _place(each, pair.new), pair.new)
        # Where the old one stands still the new one may go on; and what it did not hear nobody brings again: it was acknowledged.
        yield _less(each, _spoken_of(each, pair.old), _place(each, pair.new), pair.new)
    for domain in registry.domains:
        mine = [each for each in domain.projections if isinstance(each, Projection)]
        for each, other in zip(mine, [*mine[1:], *mine[:1]], strict=True):
            if each is not other:
                yield _less(each, _place(other, pair.new), _place(each, pair.new), pair.new)


def _less(projection: Projection, much: FromClause, less: FromClause, generation: int) -> Select[Any]:
    parks = select(PARKED.c.stream).where(PARKED.c.generation == generation, PARKED.c.projector == projection.name)
    joined = much.outerjoin(less, much.c.stream == less.c.stream)
    lacks = less.c.version.is_(None) | (less.c.version < much.c.version)
    return select(much.c.stream).select_from(joined).where(lacks, much.c.stream.not_in(parks)).order_by(much.c.stream)


def _place(projection: Projection, generation: int) -> FromClause:
    """(stream, version) of all that it has applied there."""
    table = in_generation(POSITIONS if projection.home is None else projection.home, generation)
    which: ColumnElement[bool] = table.c.projector == projection.name if projection.home is None else true()
    return select(table.c.stream, table.c.version).where(which).subquery()


def _spoken_of(projection: Projection, generation: int) -> FromClause:
    """(stream, version) of what it has parked there."""
    which = (PARKED.c.generation == generation, PARKED.c.projector == projection.name)
    return select(PARKED.c.stream, PARKED.c.last_version.label("version")).where(*which).subquery()


@lru_cache
def in_generation(table: Table, generation: int) -> Table:
    """The table of that generation by its full name."""
    return table.to_metadata(MetaData(), schema=schema_of(generation))


async def apart(engine: AsyncEngine, registry: Registry, pair: Pair) -> int:
    """Streams, once a projection, that are not at the same version; parked ones apart, and those that are older than a projection."""
    there = await projections_in(engine, registry, pair.old)
    with database_errors():
        async with engine.connect() as connection:
            return sum([len(await _found(connection, _apart(each, there, registry, pair)[0])) for each in there])


def _apart(projection: Projection, there: Sequence[Projection], registry: Registry, pair: Pair) -> tuple[Select[Any], Select[Any]]:
    """Streams at different versions; and those that the projection has in the new generation only, while another of their domain is at
    the same version in both: they ended before it was plugged in."""
    old, new = _place(projection, pair.old), _place(projection, pair.new)
    parked = select(PARKED.c.stream).where(PARKED.c.generation.in_(tuple(pair)), PARKED.c.projector == projection.name)
    stream = func.coalesce(old.c.stream, new.c.stream)
    joined = old.join(new, old.c.stream == new.c.stream, full=True)
    differ = select(stream).select_from(joined).where(old.c.version.is_distinct_from(new.c.version), stream.not_in(parked))
    mine = next((domain.projections for domain in registry.domains if projection in domain.projections), ())
    others = [each for each in there if each is not projection and each in mine]
    young = and_(old.c.version.is_(None), or_(false(), *(_level(each, stream, pair) for each in others)))
    return differ.where(~young).order_by(stream), differ.where(young).order_by(stream)


def _level(projection: Projection, stream: ColumnElement[Any], pair: Pair) -> ColumnElement[bool]:
    old, new = _place(projection, pair.old), _place(projection, pair.new)
    return select(old.c.stream).where(old.c.stream == stream, new.c.stream == stream, old.c.version == new.c.version).exists()


async def _found(connection: AsyncConnection, wanted: Select[Any]) -> list[str]:
    return [stream for (stream,) in await connection.execute(wanted.limit(PAGE))]


async def compare(engine: AsyncEngine, registry: Registry, pair: Pair) -> Compared:
    """All of both, in one snapshot."""
    there = await projections_in(engine, registry, pair.old)
    done = Compared(only_new=[each.name for each in everyone(registry) if each not in there])
    with database_errors():
        async with engine.connect() as plain:
            connection = await plain.execution_options(isolation_level="REPEATABLE READ")
            level = [each for each in there if await _at_the_same(connection, _apart(each, there, registry, pair), each, done)]
            done.differences += await parks_seen_by(connection, pair)
            old = await digests(connection, level, pair.old)
            new = await digests(connection, level, pair.new)
            for table in [table for each in level for table in each.tables]:
                if old[table.name] != new[table.name]:
                    done.differences.append(await _rows(connection, table, pair, (old[table.name].rows, new[table.name].rows)))
            if all(each in level for each in there if each.home is None) and old[POSITIONS.name] != new[POSITIONS.name]:
                done.differences.append("positions: not the same commits")
            done.tables = new | await digests(connection, [each for each in everyone(registry) if each not in level], pair.new)
    return done


async def _at_the_same(
    connection: AsyncConnection, streams: tuple[Select[Any], Select[Any]], projection: Projection, done: Compared
) -> bool:
    """Whether its tables can be held against each other; else why not is noted."""
    differ, young = [await _found(connection, each) for each in streams]
    done.apart += len(differ)
    if differ:
        done.differences.append(f"{projection.name}: {_many(differ)} streams are not at the same version: {_some(differ)}")
    elif young:
        done.only_new.append(f"{projection.name} of {_many(young)} streams")
    return not differ and not young


async def totals(engine: AsyncEngine, registry: Registry, generation: int) -> tuple[int, int]:
    """(streams, events) that a generation holds, by the first projection of each domain."""
    streams = events = 0
    with database_errors():
        async with engine.connect() as connection:
            for projection in {projections_of(registry, stream_id(domain.type, "1"))[0] for domain in registry.domains}:
                place = _place(projection, generation)
                found = await connection.execute(select(func.count(), func.coalesce(func.sum(place.c.version), 0)).select_from(place))
                for many, versions in found:
                    streams, events = streams + many, events + int(versions)
    return streams, events


async def parks(engine: AsyncEngine, pair: Pair) -> list[str]:
    """What is parked in one of them only, in words."""
    with database_errors():
        async with engine.connect() as connection:
            return await parks_seen_by(connection, pair)


async def parks_seen_by(connection: AsyncConnection, pair: Pair) -> list[str]:
    """The same on a connection of the caller's, in its own error handling."""
    one, other = PARKED.alias(), PARKED.alias()
    said = []
    for generation, against, words in ((pair.new, pair.old, "the new one and not in the old"), (pair.old, pair.new, "the old one only")):
        same = (other.c.generation == against) & (other.c.projector == one.c.projector) & (other.c.stream == one.c.stream)
        alone = select(one.c.stream).where(one.c.generation == generation, ~select(other.c.stream).where(same).exists())
        found = [stream for (stream,) in await connection.execute(alone.order_by(one.c.stream))]
        if found:
            said.append(f"{len(found)} streams are parked in {words}: {_some(found)}")
    return said


async def _rows(connection: AsyncConnection, table: Table, pair: Pair, rows: tuple[int, int]) -> str:
    old, new = in_generation(table, pair.old), in_generation(table, pair.new)
    keys = table.primary_key.columns.keys()
    same = [old.c[key] == new.c[key] for key in keys]
    differs = or_(*(old.c[column.name].is_distinct_from(new.c[column.name]) for column in table.columns))
    both = old.join(new, and_(*same), full=True)
    wanted = select(*(func.coalesce(old.c[key], new.c[key]) for key in keys)).select_from(both).where(differs)
    found = ["/".join(map(str, row)) for row in await connection.execute(wanted.limit(PAGE))]
    return f"{table.name}: {_many(found)} rows differ ({rows[0]} rows in the old one, {rows[1]} in the new): {_some(found)}"


def _many(found: Sequence[str]) -> str:
    return f"{len(found)}{' or more' if len(found) == PAGE else ''}"


def _some(found: Sequence[str]) -> str:
    return ", ".join(found[:NAMED]) + (" …" if len(found) > NAMED else "")
