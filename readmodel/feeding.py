"""Which generations the live projectors feed, and which of them queries read: known for sure inside every transaction that applies.

A transaction holds `FEEDING` shared while it runs, and reads both after it has it. Whoever changes them takes it exclusively for a
moment. So a transaction either ended before the change or knows of it, and generations that are fed together never differ in what
came after the change.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    CompoundSelect,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    cast,
    delete,
    false,
    func,
    literal,
    null,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from readmodel.control import FED, GENERATIONS, PARKED, READ_MODEL
from readmodel.database import database_errors
from readmodel.errors import DatabaseConflict, NoSchema
from readmodel.writing import any_stream, given

FEEDING: Final = (1_347_438_157, -1)
"""(space, bucket) of the lock. Buckets of streams are not negative, so it is nobody else's."""


class Fed(NamedTuple):
    """Generations in rising order. `current`, which queries read, is one of them."""

    generations: tuple[int, ...]
    current: int

    @property
    def beside(self) -> tuple[int, ...]:
        """All but the current one."""
        return tuple(each for each in self.generations if each != self.current)


class OtherFed(DatabaseConflict):
    """Not the generations that were assumed: nothing was written, and the same again on these will do."""

    def __init__(self, fed: Fed) -> None:
        super().__init__(f"now fed: {fed.generations}")
        self.fed = fed


async def lock(connection: AsyncConnection, pairs: Iterable[tuple[int, int]], *, alone: bool) -> None:
    """`FEEDING` shared, then these (space, bucket) pairs exclusively in their order, until the transaction ends; one round trip.

    The shared one comes first: nobody who holds a bucket waits behind somebody who waits for all to end. `alone`: without it, for whom
    it is all the same what is fed.
    """
    taken = [*(() if alone else (FEEDING,)), *sorted(pairs)]
    await connection.execute(_locking(), {"space": [space for space, _ in taken], "bucket": [bucket for _, bucket in taken]})


@lru_cache
def _locking() -> Select[Any]:
    source = given([Column("space", Integer), Column("bucket", Integer)])
    space, bucket = source.c.space, source.c.bucket
    shared, alone = func.pg_advisory_xact_lock_shared(space, bucket), func.pg_advisory_xact_lock(space, bucket)
    return select(case((bucket < 0, cast(shared, Text)), else_=cast(alone, Text)))


async def parks_and_fed(
    connection: AsyncConnection, generations: Sequence[int], streams: Sequence[str]
) -> tuple[dict[tuple[int, str, str], int], Fed | None]:
    """What is parked, as (generation, projection, stream), and to which version it was spoken of; and what is fed. One round trip.

    None: nothing is.
    """
    rows = await connection.execute(_parks_and_fed(), {"generations": list(generations), "streams": list(streams)})
    parked: dict[tuple[int, str, str], int] = {}
    fed: list[int] = []
    current: int | None = None
    for kind, generation, projector, stream, spoken_of in rows:
        if kind == _PARK:
            parked[generation, projector, stream] = spoken_of
        elif kind == _FED:
            fed.append(generation)
        else:
            current = generation
    return parked, None if current is None else Fed(tuple(sorted({*fed, current})), current)


_PARK, _FED, _CURRENT = range(3)


@lru_cache
def _parks_and_fed() -> CompoundSelect[Any]:
    generations = func.any(bindparam("generations", type_=ARRAY(Integer())))
    parks = select(literal(_PARK, Integer), PARKED.c.generation, PARKED.c.projector, PARKED.c.stream, PARKED.c.last_version)
    return parks.where(PARKED.c.generation == generations, PARKED.c.stream == any_stream()).union_all(*_fed_of_the_read_model())


@lru_cache
def _fed_of_the_read_model() -> tuple[Select[Any], Select[Any]]:
    nothing = (cast(null(), Text), cast(null(), Text), cast(null(), BigInteger))
    fed = select(literal(_FED, Integer), FED.c.generation, *nothing).where(FED.c.projector == READ_MODEL)
    current = select(literal(_CURRENT, Integer), GENERATIONS.c.current, *nothing).where(GENERATIONS.c.projector == READ_MODEL)
    return fed, current


async def read_fed(engine: AsyncEngine, projector: str = READ_MODEL) -> Fed:
    """As it stands now. Raises NoSchema, DatabaseUnavailable."""
    with database_errors():
        async with engine.connect() as connection:
            return await fed_of(connection, projector)


async def fed_of(connection: AsyncConnection, projector: str = READ_MODEL) -> Fed:
    """On a connection of the caller's, in its own error handling. Raises NoSchema."""
    found = (await all_fed(connection)).get(projector)
    if found is None:
        raise NoSchema(f"no generation of {projector}; run `headrace provision`")
    return found


async def all_fed(connection: AsyncConnection) -> dict[str, Fed]:
    """Of every projector that has generations, at one moment."""
    fed: dict[str, set[int]] = {}
    current: dict[str, int] = {}
    for projector, generation, is_current in await connection.execute(_all_fed()):
        fed.setdefault(projector, set()).add(generation)
        if is_current:
            current[projector] = generation
    return {projector: Fed(tuple(sorted(fed[projector])), generation) for projector, generation in current.items()}


@lru_cache
def _all_fed() -> CompoundSelect[Any]:
    current = select(GENERATIONS.c.projector, GENERATIONS.c.current, true())
    return select(FED.c.projector, FED.c.generation, false()).union_all(current)


async def feed_no_more(engine: AsyncEngine, generation: int) -> bool:
    """Leave a generation that cannot be fed, so that the current one goes on. False: it is the current one, or was not fed."""
    with database_errors():
        async with engine.begin() as connection:
            held = select(GENERATIONS.c.current).where(GENERATIONS.c.projector == READ_MODEL).with_for_update()
            if (await connection.execute(held)).scalar_one() == generation:
                return False
            gone = await connection.execute(delete(FED).where(FED.c.projector == READ_MODEL, FED.c.generation == generation))
            return gone.rowcount > 0
