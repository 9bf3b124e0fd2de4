"""Parked streams as operators see them: how many, which, and giving one up."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import ColumnElement, Row, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncEngine

from events.ids import StreamId
from readmodel.control import AMQP, BESIDE, FED, GENERATIONS, PARKED, READ_MODEL
from readmodel.database import database_errors
from runtime.times import from_datetime, rfc3339

Place = tuple[str, str, int]
"""Of a park in the order of lists: stream, projector, generation."""
FIRST: Final[Place] = ("", "", -1)


class Parked(Struct, frozen=True):
    """A stream that one projection cannot go on with."""

    projector: str
    stream: StreamId
    reason: str
    detail: str
    first_version: int
    """What it stands at."""
    last_version: int
    """The highest version spoken of since."""
    since: str
    generation: int
    discarded_at: str | None = None
    """Given up by an operator; it stands still all the same."""

    @property
    def place(self) -> Place:
        return self.stream, self.projector, self.generation


@dataclass(frozen=True, slots=True)
class Which:
    """Of the parks: those of all that is given. Nothing given: all."""

    streams: Sequence[StreamId] = ()
    projector: str | None = None
    reason: str | None = None
    discarded: bool | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """For PARKED."""
        wanted: list[ColumnElement[bool]] = []
        if self.streams:
            wanted.append(PARKED.c.stream.in_(self.streams))
        if self.projector is not None:
            wanted.append(PARKED.c.projector == self.projector)
        if self.reason is not None:
            wanted.append(PARKED.c.reason == self.reason)
        if self.discarded is not None:
            wanted.append(PARKED.c.discarded_at.is_not(None) if self.discarded else PARKED.c.discarded_at.is_(None))
        return wanted


ALL: Final = Which()


def _current() -> Any:
    return select(GENERATIONS.c.current).where(GENERATIONS.c.projector == READ_MODEL).scalar_subquery()


def _counts() -> ColumnElement[bool]:
    """What queries read, and what belongs to no generation."""
    return PARKED.c.generation.in_((_current(), BESIDE))


def _live() -> ColumnElement[bool]:
    """Those, and every generation that a projector still feeds."""
    fed = select(FED.c.generation).where(FED.c.projector == READ_MODEL)
    return _counts() | PARKED.c.generation.in_(fed)


async def count_parked(engine: AsyncEngine, generation: int | None = None, *, discarded: bool = False) -> int:
    """Streams parked (or, instead, discarded) in a generation, each once; without one: in the current one and beside all."""
    which = _counts() if generation is None else PARKED.c.generation == generation
    with database_errors():
        async with engine.connect() as connection:
            streams = select(func.count(PARKED.c.stream.distinct())).where(which, *Which(discarded=discarded).conditions())
            return int((await connection.execute(streams)).scalar_one())


async def count_parks(engine: AsyncEngine, projector: str) -> tuple[Counter[str], int]:
    """(parks by reason, discarded ones) of the projector `rds`, in the current generation, or of `amqp`."""
    which = PARKED.c.generation == (BESIDE if projector == AMQP else _current())
    discarded = PARKED.c.discarded_at.is_not(None)
    wanted = select(discarded, PARKED.c.reason, func.count()).where(which).group_by(discarded, PARKED.c.reason)
    parked, given_up = Counter[str](), 0
    with database_errors():
        async with engine.connect() as connection:
            for is_discarded, reason, count in await connection.execute(wanted):
                if is_discarded:
                    given_up += count
                else:
                    parked[reason] += count
    return parked, given_up


async def list_parked(
    engine: AsyncEngine, after: Place = FIRST, limit: int = 1000, which: Which = ALL, *, fed: bool = False
) -> list[Parked]:
    """A page of them in order from beyond `after`, discarded ones too: of the current generation and beside all.

    `fed`: also of generations that are fed beside the current one.
    """
    wanted = select(PARKED).where(_live() if fed else _counts(), *which.conditions())
    keys = (PARKED.c.stream, PARKED.c.projector, PARKED.c.generation)
    wanted = wanted.where(tuple_(*keys) > tuple_(*after)).order_by(*keys).limit(limit)
    with database_errors():
        async with engine.connect() as connection:
            return [_parked(row) for row in await connection.execute(wanted)]


async def discard(engine: AsyncEngine, which: Which) -> list[Parked]:
    """Give up those that are not given up yet; those that there are now, in order. They stand still as before."""
    with database_errors():
        async with engine.begin() as connection:
            mine = [_live(), *which.conditions(), PARKED.c.discarded_at.is_(None)]
            gone = await connection.execute(update(PARKED).where(*mine).values(discarded_at=func.now()).returning(PARKED))
            return sorted((_parked(row) for row in gone), key=lambda each: each.place)


def _parked(row: Row[Any]) -> Parked:
    return Parked(
        row.projector,
        row.stream,
        row.reason,
        row.detail,
        row.first_version,
        row.last_version,
        rfc3339(from_datetime(row.at)),
        row.generation,
        rfc3339(from_datetime(row.discarded_at)) if row.discarded_at is not None else None,
    )
