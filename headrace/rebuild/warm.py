"""What Redis holds, put where a switch will look for it. Redis away costs the first readers a look into PostgreSQL, and nothing else."""

from collections.abc import Sequence

import redis.exceptions

from headrace.rebuild.progress import say, telling
from readmodel.auditing import names
from readmodel.cache import PATIENT_SECONDS, Cache
from readmodel.control import CACHE
from readmodel.database import Database, Shown, shown
from readmodel.errors import CacheUnavailable
from readmodel.feeding import read_fed
from readmodel.warming import Warming
from runtime.redis_client import open_redis
from runtime.settings import Settings


async def warm_beside(settings: Settings, database: Database, generation: int) -> int:
    """For a generation of the read model, in all of the cache's that are fed. How many values were put."""
    caches = await read_fed(database.engine, CACHE)
    return sum([await warm(settings, database, Shown(generation, cache)) for cache in caches.generations])


async def forget(settings: Settings, prefixes: Sequence[str]) -> int:
    """Drop what Redis holds under these; what is missed there lives ten minutes. How many keys that were."""
    if not settings.redis_url:
        return 0
    gone = 0
    async with open_redis(settings) as client:
        try:
            for each in prefixes:
                async for keys in names(client, each):
                    gone += int(await client.unlink(*keys)) if keys else 0
        except (redis.exceptions.RedisError, OSError) as wrong:
            say(f"Redis keeps some of it for ten minutes: {type(wrong).__name__}: {wrong}")
    return gone


async def warm(settings: Settings, database: Database, target: Shown) -> int:
    """From what is read now. How many values were put."""
    if not settings.redis_url:
        return 0
    now = await shown(database.engine)
    async with open_redis(settings) as client:
        warming = Warming(client, Cache(client, settings.stack, now.generation, PATIENT_SECONDS), database, (now, target))
        try:
            async with telling("warming", lambda: (warming.looked, 0, "values")):
                await warming.run()
        except (CacheUnavailable, redis.exceptions.RedisError, OSError) as wrong:
            say(f"the cache stays cold: {type(wrong).__name__}: {wrong}")
    return warming.put
