"""Generations come, are fed, are flipped to, and go. Each step is one short transaction that either happened or did not.

A number is never given twice, so that nothing that speaks of a generation (a schema, a queue, a cached value) is taken for another's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import DropSchema

from events.domain import Registry
from readmodel.control import FED, GENERATIONS, PARKED, schema_of
from readmodel.database import database_errors
from readmodel.errors import DatabaseUnavailable
from readmodel.feeding import FEEDING, fed_of
from readmodel.schema import create_generation, generations_there

LOCK_MS: Final = 1_000
"""What a change of what is fed may wait for transactions under way; behind it new ones wait as long."""
DROP_LOCK_MS: Final = 3_000
ATTEMPTS: Final = 30
PAUSE_SECONDS: Final = 1.0
"""Between two of them."""
_T = TypeVar("_T")
Check = Callable[[AsyncConnection], Awaitable[None]]


class Beside(NamedTuple):
    """A generation that is fed beside the current one. `complete`: it was found to hold all that the current one held."""

    generation: int
    complete: bool


async def new_generation(engine: AsyncEngine, projector: str, registry: Registry | None = None) -> int:
    """The next number; of the read model (with its registry) the empty tables, too. Fed by nobody yet."""
    with database_errors():
        async with engine.begin() as connection:
            row = GENERATIONS.c.projector == projector
            given = update(GENERATIONS).where(row).values(newest=GENERATIONS.c.newest + 1).returning(GENERATIONS.c.newest)
            generation = int((await connection.execute(given)).scalar_one())
            if registry is not None:
                await create_generation(connection, registry, generation)
    return generation


async def feed(engine: AsyncEngine, projector: str, generation: int) -> None:
    """From now on live projectors feed it beside the current one: every transaction that begins later knows. Raises Retryable."""

    async def add(connection: AsyncConnection) -> None:
        await connection.execute(insert(FED).values(projector=projector, generation=generation).on_conflict_do_nothing())

    await _changed(engine, add)


async def flip(engine: AsyncEngine, projector: str, to: int, check: Check | None = None) -> bool:
    """Queries read it from now on, and it counts as complete. False: it is not fed any more, and nothing was changed.

    `check`: asked while nobody applies anything; what it raises leaves all as it was.
    """

    async def turn(connection: AsyncConnection) -> bool:
        if check is not None:
            await check(connection)
        row = GENERATIONS.c.projector == projector
        await connection.execute(update(GENERATIONS).where(row, GENERATIONS.c.current != to).values(current=to, flipped_at=func.now()))
        done = update(FED).where(FED.c.projector == projector, FED.c.generation == to)
        fed = await connection.execute(done.values(complete_at=func.coalesce(FED.c.complete_at, func.now())))
        if fed.rowcount == 0:
            await connection.rollback()
        return fed.rowcount > 0

    return bool(await _changed(engine, turn))


async def feed_not(engine: AsyncEngine, projector: str, generation: int) -> None:
    """Nobody feeds it any more, once this has returned. Not for the current one."""

    async def take(connection: AsyncConnection) -> None:
        current = select(GENERATIONS.c.current).where(GENERATIONS.c.projector == projector).with_for_update()
        if (await connection.execute(current)).scalar_one() != generation:
            await connection.execute(delete(FED).where(FED.c.projector == projector, FED.c.generation == generation))

    await _changed(engine, take)


async def drop(engine: AsyncEngine, generation: int) -> None:
    """The tables of a generation of the read model that is not fed, and its parks. Raises Retryable while somebody still reads them."""

    async def once() -> None:
        with database_errors():
            async with engine.begin() as connection:
                fed = await fed_of(connection)
                if generation in fed.generations:
                    raise ValueError(f"generation {generation} is fed")
                await _patience(connection, DROP_LOCK_MS)
                await connection.execute(DropSchema(schema_of(generation), cascade=True, if_exists=True))
                await connection.execute(delete(PARKED).where(PARKED.c.generation == generation))

    await _again(once)


async def leftovers(engine: AsyncEngine) -> list[int]:
    """Generations of the read model of which there are tables, and which nobody feeds: what an end in the middle left."""
    with database_errors():
        async with engine.connect() as connection:
            there = await connection.run_sync(generations_there)
            fed = await fed_of(connection)
    return [each for each in there if each not in fed.generations]


async def beside(engine: AsyncEngine, projector: str) -> list[Beside]:
    """In rising order."""
    current = select(GENERATIONS.c.current).where(GENERATIONS.c.projector == projector).scalar_subquery()
    wanted = select(FED.c.generation, FED.c.complete_at).where(FED.c.projector == projector, FED.c.generation != current)
    with database_errors():
        async with engine.connect() as connection:
            return [Beside(number, at is not None) for number, at in await connection.execute(wanted.order_by(FED.c.generation))]


async def seconds_since_flip(engine: AsyncEngine, projector: str) -> float:
    """By the database's own clock."""
    age = func.extract("epoch", func.now() - GENERATIONS.c.flipped_at)
    with database_errors():
        async with engine.connect() as connection:
            return float((await connection.execute(select(age).where(GENERATIONS.c.projector == projector))).scalar_one())


async def _changed(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
    """One transaction with `FEEDING` to itself: those under way have ended, none begins before this one has.

    It never waits long, since whoever comes meanwhile waits behind it: it rather comes again.
    """

    async def once() -> _T:
        with database_errors():
            async with engine.connect() as connection:
                await _patience(connection, LOCK_MS)
                await connection.execute(select(func.pg_advisory_xact_lock(*FEEDING)))
                done = await work(connection)
                await connection.commit()
                return done

    return await _again(once)


async def _again(once: Callable[[], Awaitable[_T]]) -> _T:
    """Raises DatabaseUnavailable in the end."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await once()
        except DatabaseUnavailable:
            await asyncio.sleep(PAUSE_SECONDS)
    return await once()


async def _patience(connection: AsyncConnection, milliseconds: int) -> None:
    await connection.execute(select(func.set_config("lock_timeout", f"{milliseconds}ms", True)))
