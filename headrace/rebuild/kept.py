"""The generation of the read model that is kept beside the current one: gone back to, or dropped."""

from headrace.errors import WrongUse
from headrace.rebuild.alone import Alone
from headrace.rebuild.ground import Ground
from headrace.rebuild.levelling import even, level
from headrace.rebuild.progress import say
from headrace.rebuild.switching import acceptable, kept, leave, same_parks, switch
from headrace.rebuild.warm import forget, warm_beside
from readmodel.control import CACHE, READ_MODEL
from readmodel.database import REBUILDING, open_database
from readmodel.entries import prefix
from readmodel.feeding import read_fed
from readmodel.generations import beside, drop, leftovers
from readmodel.projecting import Projecting
from readmodel.rebuilding.comparing import Pair, apart, parks


async def rollback(ground: Ground, held: Alone, *, accept: bool) -> Pair:
    """Back to the generation that is kept: at once, since it was fed on. The one that is left is kept in its place.

    What it lacks it is brought from the store first; what it cannot be brought is told, and `accept` goes back all the same.
    """
    pair = await kept(ground.engine, READ_MODEL)
    async with open_database(ground.settings, REBUILDING, pair.new) as database:
        await level(ground, Projecting(database, ground.domains, ground.store, alone=True), pair)
        many = await apart(ground.engine, ground.domains, pair)
        differences = [f"{many} streams are not at the same version"] if many else []
        differences += await parks(ground.engine, pair)
        if not acceptable(differences, pair, accept=accept):
            return Pair(pair.old, pair.old)
        await even(ground.engine, pair)
        await warm_beside(ground.settings, database, pair.new)
    await held.check()
    await switch(ground.engine, READ_MODEL, pair, same_parks(pair, accept=accept))
    return pair


async def drop_old(ground: Ground) -> list[int]:
    """Every generation but the current one; which those were. Raises WrongUse where there is none."""
    gone = [each.generation for each in await beside(ground.engine, READ_MODEL)]
    gone += await leftovers(ground.engine)
    if not gone:
        raise WrongUse("there is no generation but the current one")
    await ground.unsubscribe()
    for generation in gone:
        await leave(ground.engine, READ_MODEL, generation)
        await drop(ground.engine, generation)
        caches = await read_fed(ground.engine, CACHE)
        await forget(ground.settings, [prefix(ground.settings.stack, generation, each) for each in caches.generations])
        say(f"generation {generation} is gone")
    return gone
