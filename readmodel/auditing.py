"""What an audit reads of the read model: tables, positions and parks page by page in one snapshot, and cached values; changing nothing.

A snapshot stays as it was while everything moves on, so that rows, positions and sums belong together however long it takes to read
them. It keeps PostgreSQL from clearing away what was overwritten meanwhile, so it should not be held for hours.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Select, Table, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from readmodel.cache import FAILURES
from readmodel.comments.cached import Found, load_keys
from readmodel.control import BESIDE, PARKED, POSITIONS, PUBLISHED
from readmodel.database import Database, database_errors
from readmodel.entries import version_of
from readmodel.errors import CacheUnavailable
from readmodel.writing import any_stream

if TYPE_CHECKING:
    from redis.asyncio import Redis

PAGE: Final = 2_000
_BEAT_SECONDS: Final = 20.0
Rows = list[dict[str, Any]]
ABSENT: Final = -1
_REST_SECONDS: Final = 1.0
PLACE: Final = ("stream", "version", "commit_first", "head_id")


class Snapshot:
    """One generation as it was at one moment. For one caller at a time."""

    def __init__(self, connection: AsyncConnection, generation: int) -> None:
        self._connection, self._generation = connection, generation
        self._asked = monotonic()

    async def rows(self, table: Table, page: int = PAGE) -> AsyncIterator[Rows]:
        """All rows of a table of the generation, in the order of its primary key; a home table's by stream."""
        async for found in self._pages(select(table), list(table.primary_key.columns), page):
            yield found

    async def positions(self, projector: str) -> AsyncIterator[Rows]:
        """Of `cache`, or of a projection without a home table, in the order of streams."""
        wanted = select(*(POSITIONS.c[name] for name in PLACE)).where(POSITIONS.c.projector == projector)
        async for found in self._pages(wanted, [POSITIONS.c.stream], PAGE):
            yield found

    async def places(self, home: Table) -> AsyncIterator[Rows]:
        """The positions in home rows alone, in the order of streams."""
        async for found in self._pages(select(*(home.c[name] for name in PLACE)), [home.c.stream], PAGE):
            yield found

    async def published(self) -> AsyncIterator[Rows]:
        """Of the projector `amqp`, in the order of streams."""
        async for found in self._pages(select(PUBLISHED), [PUBLISHED.c.stream], PAGE):
            yield found

    async def parks(self) -> AsyncIterator[Rows]:
        """Of this generation and of what belongs to none, discarded ones too, in the order of streams."""
        wanted = select(PARKED).where(PARKED.c.generation.in_((self._generation, BESIDE)))
        async for found in self._pages(wanted, [PARKED.c.stream, PARKED.c.projector, PARKED.c.generation], PAGE):
            yield found

    async def count_parked(self) -> tuple[int, int]:
        """Streams that are parked, and streams of which an operator has given up a park."""
        mine = PARKED.c.generation.in_((self._generation, BESIDE))
        streams = func.count(PARKED.c.stream.distinct())
        counts = [streams.filter(condition) for condition in (PARKED.c.discarded_at.is_(None), PARKED.c.discarded_at.is_not(None))]
        [(parked, discarded)] = await self._ask(select(*counts).where(mine))
        return int(parked), int(discarded)

    async def versions(self, table: Table, streams: Sequence[str], projector: str | None = None) -> dict[str, int]:
        """Positions of these streams in a home table, in `published`, or in `positions` of a projector."""
        wanted = select(table.c.stream, table.c.version).where(table.c.stream == any_stream())
        if projector is not None:
            wanted = wanted.where(table.c.projector == projector)
        return dict(await self._ask(wanted, {"streams": list(streams)}))

    async def parked(self, streams: Sequence[str]) -> set[tuple[str, str]]:
        """(projector, stream) of those of them that are parked."""
        wanted = select(PARKED.c.projector, PARKED.c.stream).where(PARKED.c.generation.in_((self._generation, BESIDE)))
        found = await self._ask(wanted.where(PARKED.c.stream == any_stream()), {"streams": list(streams)})
        return {(projector, stream) for projector, stream in found}

    async def stay(self) -> None:
        """Where nothing is asked for long: PostgreSQL ends transactions that stand idle."""
        if monotonic() - self._asked > _BEAT_SECONDS:
            await self._ask(text("SELECT 1"))

    async def _pages(self, wanted: Select[Any], keys: Sequence[Any], size: int) -> AsyncIterator[Rows]:
        after: tuple[Any, ...] | None = None
        while True:
            page = wanted if after is None else wanted.where(tuple_(*keys) > tuple_(*after))
            columns = [column.name for column in page.selected_columns]
            found = [dict(zip(columns, row, strict=True)) for row in await self._ask(page.order_by(*keys).limit(size))]
            if found:
                yield found
                after = tuple(found[-1][key.name] for key in keys)
            if len(found) < size:
                return

    async def _ask(self, statement: Any, values: Any = None) -> Sequence[Any]:
        with database_errors():
            found = await self._connection.execute(statement, values)
            self._asked = monotonic()
            return found.all()


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[Snapshot]:
    """As of its first question. Raises DatabaseUnavailable."""
    async with AsyncExitStack() as opened:
        with database_errors():
            connection = await opened.enter_async_context(database.engine.connect())
            still = await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield Snapshot(still, database.generation)


class Values:
    """What Redis holds under `readmodel.entries.prefix`. Every method raises CacheUnavailable, after a second attempt."""

    def __init__(self, client: "Redis", prefix: str) -> None:
        self._client, self._prefix = client, prefix

    async def keys(self, count: int = 500) -> AsyncIterator[list[str]]:
        """All, but for leases. One may come twice (SCAN promises no better)."""
        cursor = 0
        while True:
            cursor, keys = await self._patiently(partial(self._client.scan, cursor, match=f"{_literal(self._prefix)}*", count=count))
            yield [name for name in map(_text, keys) if not name.endswith(":lease")]
            if cursor == 0:
                return

    async def versions(self, keys: Sequence[str]) -> list[int | None]:
        """Of each value: ABSENT where there is none, None where it is unreadable."""
        found = await self._patiently(lambda: self._each(keys, lambda pipeline, key: pipeline.getrange(key, 0, 63)))
        return [ABSENT if head == b"" else version_of(head) for head in found]

    async def whole(self, keys: Sequence[str]) -> list[bytes | None]:
        """Each value; None where there is none, or no text."""
        found = await self._patiently(lambda: self._each(keys, lambda pipeline, key: pipeline.get(key)))
        return [value if isinstance(value, bytes) else None for value in found]

    async def _each(self, keys: Sequence[str], ask: Callable[[Any, str], Any]) -> list[Any]:
        if not keys:
            return []
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            ask(pipeline, key)
        return list(await pipeline.execute(raise_on_error=False))

    async def _patiently(self, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await call()
        except FAILURES:
            await asyncio.sleep(_REST_SECONDS)
        try:
            return await call()
        except FAILURES as wrong:
            raise CacheUnavailable(type(wrong).__name__) from wrong


async def names(client: "Redis", prefix: str, count: int = 500) -> AsyncIterator[list[bytes | str]]:
    """Every key under a prefix, fill leases too."""
    cursor = 0
    while True:
        cursor, keys = await client.scan(cursor, match=f"{_literal(prefix)}*", count=count)
        yield keys
        if cursor == 0:
            return


async def in_database(database: Database, prefix: str, keys: Sequence[str]) -> dict[str, Found]:
    """(version, view) that PostgreSQL has for each cached key, now. Asked after Redis: PostgreSQL only moves on."""
    with database_errors():
        async with database.engine.connect() as connection:
            return await load_keys(connection, prefix, keys)


def _text(key: bytes | str) -> str:
    return key.decode() if isinstance(key, bytes) else key


def _literal(prefix: str) -> str:
    """For Redis's glob patterns."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in prefix)
