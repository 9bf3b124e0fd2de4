"""Parked streams: how many, which, and letting one go again."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from events.ids import StreamId
from readmodel.control import BESIDE, GENERATIONS, PARKED, READ_MODEL
from readmodel.database import database_errors
from runtime.times import from_datetime, rfc3339


class Parked(Struct, frozen=True):
    """A stream that one projection cannot go on with; `first_version` is what it stands at."""

    projector: str
    stream: StreamId
    reason: str
    detail: str
    first_version: int
    at: str


def _current() -> Any:
    return select(GENERATIONS.c.current).where(GENERATIONS.c.projector == READ_MODEL).scalar_subquery()


def _counts() -> Any:
    return PARKED.c.generation.in_((_current(), BESIDE))


async def count_parked(engine: AsyncEngine, generation: int | None = None) -> int:
    """Streams parked in a generation, each once; without one: in the current one and beside all."""
    which = _counts() if generation is None else PARKED.c.generation == generation
    with database_errors():
        async with engine.connect() as connection:
            streams = select(func.count(PARKED.c.stream.distinct())).where(which)
            return int((await connection.execute(streams)).scalar_one())


async def list_parked(engine: AsyncEngine, after: tuple[str, str] = ("", ""), limit: int = 1000) -> list[Parked]:
    """A page of them, ordered by (stream, projector) from beyond `after`."""
    wanted = select(PARKED).where(
        _counts(), (PARKED.c.stream > after[0]) | ((PARKED.c.stream == after[0]) & (PARKED.c.projector > after[1]))
    )
    with database_errors():
        async with engine.connect() as connection:
            found = await connection.execute(wanted.order_by(PARKED.c.stream, PARKED.c.projector).limit(limit))
            return [
                Parked(row.projector, row.stream, row.reason, row.detail, row.first_version, rfc3339(from_datetime(row.at)))
                for row in found
            ]


async def unpark(engine: AsyncEngine, streams: Sequence[StreamId]) -> int:
    """Let streams go; the caller then applies what the store holds of them (`Projecting.catch_up`). How many were parked.

    Those that the projector `amqp` has parked stay: they are not the read model's.
    """
    with database_errors():
        async with engine.begin() as connection:
            gone = await connection.execute(delete(PARKED).where(PARKED.c.generation == _current(), PARKED.c.stream.in_(streams)))
            return gone.rowcount
