"""How far every projector is on given streams, for whoever looks for what never arrived: in the current generation, whichever that is
by then, and with what was published to RabbitMQ.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import Text, cast, false, literal, select, true, union_all
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from events.domain import Registry
from events.ids import MAX_VERSION, StreamId
from readmodel.control import AMQP, BESIDE, CACHE, CONTROL_SCHEMA, GENERATIONS, PARKED, PUBLISHED, READ_MODEL, schema_of
from readmodel.database import Limits, database_errors, open_engine
from readmodel.errors import NoSchema
from readmodel.progress import Progress, Reached
from readmodel.verdicts import START
from readmodel.writing import any_stream
from runtime.settings import Settings

STREAMS_A_SELECT: Final = 1_000
LIMITS: Final = Limits(pool=2, acquire_seconds=10, statement_seconds=20, one_by_one=True)
Standing = dict[str, int]
"""Projector -> the version up to which it has passed a stream; MAX_VERSION where the stream is parked for it: redrive reads the store."""


class Standings:
    """`engine` may be on any generation or none. Raises DatabaseUnavailable, NoSchema."""

    def __init__(self, engine: AsyncEngine, registry: Registry, *, amqp: bool) -> None:
        self._engine, self._registry, self._amqp = engine, registry, amqp
        self._progress: tuple[int, Progress] | None = None

    async def of(self, streams: Sequence[StreamId]) -> dict[StreamId, Standing]:
        """An answer for every stream, also for unknown ones. Not of one moment, unless there are few."""
        found: dict[StreamId, Standing] = {}
        if not streams:
            return found
        with database_errors():
            async with self._engine.connect() as connection:
                generation = await _current(connection)
                if self._progress is None or self._progress[0] != generation:
                    self._progress = (generation, Progress(self._registry, generation))
                there = await connection.execution_options(schema_translate_map={None: schema_of(generation)})
                for start in range(0, len(streams), STREAMS_A_SELECT):
                    part = streams[start : start + STREAMS_A_SELECT]
                    reached = await self._progress[1].reached(there, part)
                    published = await _published(there, part) if self._amqp else {}
                    found |= {stream: _standing(each, published.get(stream)) for stream, each in reached.items()}
        return found


@asynccontextmanager
async def open_standings(settings: Settings, registry: Registry, *, amqp: bool) -> AsyncIterator[Standings]:
    """Nothing is connected yet: PostgreSQL may be away."""
    engine = open_engine(settings, CONTROL_SCHEMA, LIMITS)
    try:
        yield Standings(engine, registry, amqp=amqp)
    finally:
        await engine.dispose()


def _standing(reached: Reached, published: int | None) -> Standing:
    moving = [reached.positions.get(name, START).version for name in reached.names if name not in reached.parked]
    cached = reached.positions.get(CACHE, START).version
    # Of a parked stream Redis holds nothing, and the cache's position stays where PostgreSQL's is.
    return {
        READ_MODEL: min(moving, default=MAX_VERSION),
        CACHE: MAX_VERSION if reached.stuck else cached,
        AMQP: published or 0,
    }


async def _current(connection: AsyncConnection) -> int:
    found = await connection.execute(select(GENERATIONS.c.current).where(GENERATIONS.c.projector == READ_MODEL))
    generation: int | None = found.scalar_one_or_none()
    if generation is None:
        raise NoSchema("no generation of the read model; run `headrace provision`")
    return generation


async def _published(connection: AsyncConnection, streams: Sequence[StreamId]) -> Mapping[StreamId, int]:
    found: dict[StreamId, int] = {}
    for stream, version, parked in await connection.execute(_PUBLISHED, {"streams": streams}):
        found[stream] = MAX_VERSION if parked else max(version, found.get(stream, 0))
    return found


_PUBLISHED: Final = union_all(
    select(PUBLISHED.c.stream, PUBLISHED.c.version, false()).where(PUBLISHED.c.stream == any_stream()),
    select(PARKED.c.stream, cast(literal(0), PUBLISHED.c.version.type), true()).where(
        PARKED.c.generation == BESIDE, PARKED.c.projector == cast(literal(AMQP), Text), PARKED.c.stream == any_stream()
    ),
)
