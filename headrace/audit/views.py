"""I4, I6 and I7: what the views, the positions and the cache hold against the fold of the event store."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Table

from events.domain import Registry
from events.envelope import Commit
from events.ids import StreamId
from headrace.audit.findings import Difference
from readmodel import auditing
from readmodel.canonical import behind, differences, expected, expected_row
from readmodel.control import AMQP, CACHE, PUBLISHED
from readmodel.database import AUDITING, Database, open_database
from readmodel.domains import all_projections, projections_of
from readmodel.entries import prefix
from readmodel.folding import CannotProject, summed
from readmodel.projection import Delta, Projection
from runtime.redis_client import open_redis
from runtime.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

Streams = Mapping[StreamId, Sequence[Commit]]


@dataclass(slots=True)
class Held:
    """What was found: what differs, and streams that some projector has not passed yet."""

    differences: list[Difference] = field(default_factory=list)
    pending: set[StreamId] = field(default_factory=set)


class Parks(NamedTuple):
    """Streams that some projection has parked, and those that the projector `amqp` has."""

    read_model: set[StreamId]
    amqp: set[StreamId]


class Views:
    """The read model and the cache of one stack, read only."""

    def __init__(self, database: Database, client: "Redis", registry: Registry, stack: str) -> None:
        self._database, self._client, self._registry = database, client, registry
        self._prefix = prefix(stack, database.generation, database.cache)

    async def parked(self) -> Parks:
        """What is parked now."""
        found = Parks(set(), set())
        async for page in auditing.parked(self._database.engine):
            for each in page:
                (found.amqp if each.projector == AMQP else found.read_model).add(each.stream)
        return found

    async def check(self, streams: Streams, parked: set[StreamId]) -> Held:
        """All of it. Parked streams are held only to what was applied of them."""
        held = Held()
        for projection in all_projections(self._registry):
            await self._projection(projection, streams, parked, held)
        await self._positions(CACHE, None, [stream for stream in streams if stream not in parked], streams, held)
        await self._cached(held)
        return held

    async def published(self, streams: Streams, parked: set[StreamId], held: Held) -> None:
        """I4 for the projector `amqp`: these streams are sent to their heads, or parked."""
        await self._positions(AMQP, PUBLISHED, [stream for stream in streams if stream not in parked], streams, held)

    async def _projection(self, projection: Projection, streams: Streams, parked: set[StreamId], held: Held) -> None:
        mine = [s for s in streams if projection in projections_of(self._registry, s)]
        await self._positions(projection.name, projection.home, [s for s in mine if s not in parked], streams, held)
        rows: dict[StreamId, dict[str, Any]] = {}
        if projection.home is not None:
            async for page in auditing.rows(self._database.engine, projection.home):
                rows.update({row["stream"]: row for row in page})
        deltas: list[Delta] = []
        for stream in mine:
            applied = streams[stream]
            if stream in parked:
                last = rows.get(stream, {}).get("version", 0)
                applied = [commit for commit in applied if commit.last <= last]
            deltas += self._row(projection, stream, applied, rows.get(stream), held)
        if projection.home is not None:
            strays = rows.keys() - streams.keys()
            held.differences += [Difference("I6", stray, f"{projection.home.name}: a row without events") for stray in strays]
        await self._sums(projection, deltas, held)

    def _row(
        self, projection: Projection, stream: StreamId, commits: Sequence[Commit], row: Mapping[str, Any] | None, held: Held
    ) -> list[Delta]:
        """One stream's home row; returns the stream's deltas."""
        try:
            folded = expected(projection, self._registry, stream, commits)
        except CannotProject as wrong:
            held.differences.append(Difference("I6", stream, f"{projection.name}: {wrong.fault.detail}, and it is not parked"))
            return []
        if projection.home is not None and (row is not None or stream not in held.pending):
            found = differences(folded.row, row)
            held.differences += [Difference("I6", stream, f"{projection.home.name}: {each}") for each in found]
        return folded.deltas

    async def _positions(self, projector: str, home: Table | None, wanted: Iterable[StreamId], streams: Streams, held: Held) -> None:
        found: dict[StreamId, int] = {}
        async for page in auditing.positions(self._database.engine, projector, home):
            found.update(page)
        for stream, version, position in behind({stream: streams[stream][-1].last for stream in wanted}, found):
            if position < version:
                held.pending.add(stream)
            else:
                detail = f"{projector} is at version {position}, the stream at {version}"
                held.differences.append(Difference("I4", stream, detail))

    async def _sums(self, projection: Projection, deltas: Iterable[Delta], held: Held) -> None:
        """Tables of sums, row by row. A row at nothing is as good as none."""
        sums = summed(deltas)
        for table in (each for each in projection.tables if each is not projection.home):
            per_key = sums.get(table)
            wanted = (
                {key: expected_row(table, key, add, per_key.highest.get(key, {})) for key, add in per_key.add.items()} if per_key else {}
            )
            keys = table.primary_key.columns.keys()
            async for page in auditing.rows(self._database.engine, table):
                for row in page:
                    key = tuple(row[name] for name in keys)
                    found = differences(wanted.pop(key, None), row)
                    held.differences += [Difference("I6", f"{table.name} {'/'.join(map(str, key))}", each) for each in found]
            held.differences += [Difference("I6", f"{table.name} {'/'.join(map(str, key))}", "no row") for key in wanted]

    async def _cached(self, held: Held) -> None:
        """Never ahead of PostgreSQL; and, once the cache projector has passed everything, not behind it either."""
        async for page in auditing.cached(self._client, self._prefix):
            known = [(key, version) for key, version in page if version is not None]
            in_database = await auditing.database_versions(self._database, self._prefix, [key for key, _ in known])
            for key, version in known:
                there = in_database.get(key, 0)
                if version > there or (version < there and not held.pending):
                    held.differences.append(Difference("I7", key, f"Redis holds version {version}, PostgreSQL {there}"))


@asynccontextmanager
async def open_views(settings: Settings, registry: Registry) -> AsyncIterator[Views]:
    """The current generation's."""
    async with open_database(settings, AUDITING) as database, open_redis(settings) as client:
        yield Views(database, client, registry, settings.stack)
