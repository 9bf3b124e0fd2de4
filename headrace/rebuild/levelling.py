"""Before a switch: nothing behind, everything compared, and what goes with a generation carried over."""

import asyncio
from time import monotonic
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from events.ids import StreamId
from headrace.rebuild.ground import Ground
from headrace.rebuild.progress import say
from readmodel.control import CACHE, PARKED, POSITIONS
from readmodel.database import database_errors
from readmodel.projecting import Projecting
from readmodel.rebuilding.comparing import Compared, Pair, apart, behind, compare, in_generation

STREAMS_A_CALL: Final = 200
PAUSE_SECONDS: Final = 0.5


async def level(ground: Ground, projecting: Projecting, pair: Pair) -> int:
    """Apply from the store what the new generation lacks of what the old one has. How many streams that were.

    Whatever was once level stays so: since both are fed, every transaction moves both. So one look at each is enough, and it need not
    stop anybody. A stream that cannot be brought up is parked there, or is told by the comparison.
    """
    done: set[StreamId] = set()
    while streams := set(await behind(ground.engine, ground.domains, pair)) - done:
        wanted = sorted(streams)
        for start in range(0, len(wanted), STREAMS_A_CALL):
            await projecting.catch_up(wanted[start : start + STREAMS_A_CALL])
        done |= streams
    if done:
        say(f"{len(done)} streams caught up from the store")
    return len(done)


async def settled(ground: Ground, pair: Pair, seconds: float) -> Compared:
    """Compared once both are at the same versions, or once the time is up: until then the old one may lag in what was under way."""
    until = monotonic() + seconds
    while True:
        if not await apart(ground.engine, ground.domains, pair):
            compared = await compare(ground.engine, ground.domains, pair)
            if not compared.apart:
                return compared
        if monotonic() >= until:
            return await compare(ground.engine, ground.domains, pair)
        await asyncio.sleep(PAUSE_SECONDS)


async def even(engine: AsyncEngine, pair: Pair) -> None:
    """How far Redis is, and which parks an operator has given up: as it is of the old one."""
    old, new = in_generation(POSITIONS, pair.old), in_generation(POSITIONS, pair.new)
    source = select(old).where(old.c.projector == CACHE).order_by(old.c.stream)
    put = insert(new).from_select(list(old.columns.keys()), source, include_defaults=False)
    changed = {column.name: put.excluded[column.name] for column in new.columns if not column.primary_key}
    copied = put.on_conflict_do_update(
        index_elements=list(new.primary_key.columns), set_=changed, where=new.c.version < put.excluded.version
    )
    parked = PARKED.alias()
    given_up = (
        update(PARKED)
        .values(discarded_at=parked.c.discarded_at)
        .where(
            PARKED.c.generation == pair.new,
            PARKED.c.discarded_at.is_(None),
            parked.c.generation == pair.old,
            parked.c.projector == PARKED.c.projector,
            parked.c.stream == PARKED.c.stream,
            parked.c.discarded_at.is_not(None),
        )
    )
    with database_errors():
        async with engine.begin() as connection:
            await connection.execute(select(func.set_config("lock_timeout", "10s", True)))
            await connection.execute(copied)
            await connection.execute(given_up)
