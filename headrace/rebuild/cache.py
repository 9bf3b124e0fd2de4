"""A new generation of what Redis keeps: another prefix, filled with what the old one holds, fed and switched to.

It is for a change of what is cached, or for a cache that nobody trusts any more; what is in it is PostgreSQL's in any case.
"""

from time import monotonic

from msgspec import Struct

from headrace.errors import WrongUse
from headrace.rebuild.alone import Alone
from headrace.rebuild.ground import Ground
from headrace.rebuild.progress import say
from headrace.rebuild.switching import kept, leave, switch
from headrace.rebuild.warm import forget, warm
from readmodel.control import CACHE, READ_MODEL
from readmodel.database import REBUILDING, Shown, open_database
from readmodel.entries import prefix
from readmodel.feeding import Fed, read_fed
from readmodel.generations import beside, feed, feed_not, new_generation
from readmodel.rebuilding.comparing import Pair


class CacheReport(Struct, frozen=True):
    """The object of `headrace rebuild cache --json`."""

    generation: int
    instead_of: int
    values: int
    seconds: float
    switched: bool


async def rebuild(ground: Ground, held: Alone) -> CacheReport:
    """Raises WrongUse while another generation is kept beside."""
    began = monotonic()
    await _clean(ground)
    if await beside(ground.engine, CACHE):
        raise WrongUse("the cache's generation before this one is still kept: `headrace rebuild cache --drop-old` first")
    old = (await read_fed(ground.engine, CACHE)).current
    new = await new_generation(ground.engine, CACHE)
    switched = False
    try:
        await feed(ground.engine, CACHE, new)
        put = await _warm(ground, new)
        await held.check()
        await switch(ground.engine, CACHE, Pair(old, new))
        switched = True
    finally:
        if not switched:
            await _clean(ground)
    return CacheReport(new, old, put, round(monotonic() - began, 3), switched)


async def rollback(ground: Ground, held: Alone) -> Pair:
    """Back to the prefix that is kept: it was refreshed all the time."""
    pair = await kept(ground.engine, CACHE)
    await _warm(ground, pair.new)
    await held.check()
    await switch(ground.engine, CACHE, pair)
    return pair


async def drop_old(ground: Ground) -> list[int]:
    """Every generation of the cache but the current one; which those were."""
    gone = [each.generation for each in await beside(ground.engine, CACHE)]
    if not gone:
        raise WrongUse("there is no generation of the cache but the current one")
    for generation in gone:
        await leave(ground.engine, CACHE, generation)
        await _forget(ground, generation)
        say(f"generation {generation} of the cache is gone")
    return gone


async def _warm(ground: Ground, new: int) -> int:
    async with open_database(ground.settings, REBUILDING) as database:
        return await warm(ground.settings, database, Shown(database.generation, new))


async def _clean(ground: Ground) -> None:
    for each in await beside(ground.engine, CACHE):
        if not each.complete:
            await feed_not(ground.engine, CACHE, each.generation)
            await _forget(ground, each.generation)


async def _forget(ground: Ground, generation: int) -> None:
    fed: Fed = await read_fed(ground.engine, READ_MODEL)
    await forget(ground.settings, [prefix(ground.settings.stack, each, generation) for each in fed.generations])
