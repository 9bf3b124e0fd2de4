"""What an audit reads: every table, position and cached value, page by page, changing nothing.

Compare with `canonical.expected` (a stream's events through the pure projection) and `folding.summed` (deltas of all streams).
"""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Select, Table, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from events.ids import StreamId
from readmodel.comments.cached import load_keys
from readmodel.control import POSITIONS
from readmodel.database import Database, database_errors
from readmodel.entries import version_of
from readmodel.parking import FIRST, Parked, list_parked

if TYPE_CHECKING:
    from redis.asyncio import Redis

PAGE: Final = 2_000


async def rows(engine: AsyncEngine, table: Table, page: int = PAGE) -> AsyncIterator[list[dict[str, Any]]]:
    """All rows of a table of the generation, in the order of its primary key; a home table's by stream."""
    keys = list(table.primary_key.columns)
    after: tuple[Any, ...] | None = None
    while True:
        found = await _page(engine, select(table), keys, after, page)
        if found:
            yield found
            after = tuple(found[-1][key.name] for key in keys)
        if len(found) < page:
            return


async def positions(engine: AsyncEngine, projector: str, home: Table | None = None) -> AsyncIterator[list[tuple[StreamId, int]]]:
    """(stream, version) of a projection (with its home table, if it has one) or of `cache`, in the order of streams."""
    table = POSITIONS if home is None else home
    wanted = select(table.c.stream, table.c.version)
    if home is None:
        wanted = wanted.where(POSITIONS.c.projector == projector)
    after: tuple[Any, ...] | None = None
    while True:
        found = await _page(engine, wanted, [table.c.stream], after, PAGE)
        if found:
            yield [(row["stream"], row["version"]) for row in found]
            after = (found[-1]["stream"],)
        if len(found) < PAGE:
            return


async def parked(engine: AsyncEngine) -> AsyncIterator[list[Parked]]:
    """All parked streams of the current generation, and those of the projector `amqp`; discarded ones too."""
    after = FIRST
    while found := await list_parked(engine, after):
        yield found
        after = found[-1].place


async def cached(client: "Redis", prefix: str, count: int = 500) -> AsyncIterator[list[tuple[str, int | None]]]:
    """(key, version) of what Redis holds under `readmodel.entries.prefix`; None for what is unreadable.

    A key may come twice (SCAN promises no better). Compare with `database_versions` asked afterwards: PostgreSQL only moves on.
    """
    cursor = 0
    while True:
        cursor, keys = await client.scan(cursor, match=f"{_literal(prefix)}*", count=count)
        names = [name for name in map(_text, keys) if not name.endswith(":lease")]
        pipeline = client.pipeline(transaction=False)
        for name in names:
            pipeline.getrange(name, 0, 63)
        heads = await pipeline.execute(raise_on_error=False) if names else []
        yield [(name, version_of(head)) for name, head in zip(names, heads, strict=True) if head != b""]
        if cursor == 0:
            return


async def names(client: "Redis", prefix: str, count: int = 500) -> AsyncIterator[list[bytes | str]]:
    """Every key under a prefix, fill leases too."""
    cursor = 0
    while True:
        cursor, keys = await client.scan(cursor, match=f"{_literal(prefix)}*", count=count)
        yield keys
        if cursor == 0:
            return


async def database_versions(database: Database, prefix: str, keys: Sequence[str]) -> dict[str, int]:
    """The version PostgreSQL has for each cached key."""
    with database_errors():
        async with database.engine.connect() as connection:
            found = await load_keys(connection, prefix, keys)
    return {key: version for key, (version, _) in found.items()}


async def _page(
    engine: AsyncEngine,
    wanted: Select[Any],
    keys: Sequence[Any],
    after: tuple[Any, ...] | None,
    size: int,
) -> list[dict[str, Any]]:
    if after is not None:
        wanted = wanted.where(tuple_(*keys) > tuple_(*after))
    with database_errors():
        async with engine.connect() as connection:
            found = await connection.execute(wanted.order_by(*keys).limit(size))
            return [dict(row) for row in found.mappings()]


def _text(key: bytes | str) -> str:
    return key.decode() if isinstance(key, bytes) else key


def _literal(prefix: str) -> str:
    """For Redis's glob patterns."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in prefix)
