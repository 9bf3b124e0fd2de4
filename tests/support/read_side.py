"""The read side as its roles put it together, several gateways of it in one process, with pauses where races are: for racing."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from events.memory_store import MemoryStore
from events.outcome import projected_channel
from readmodel.cache import Cache
from readmodel.comments.projection import PROJECTION
from readmodel.control import READ_MODEL
from readmodel.database import PROJECTING, READING, REFRESHING, Database, open_database
from readmodel.heads import Heads
from readmodel.holding import Holding
from readmodel.notices import Notices, listening
from readmodel.progress import Progress
from readmodel.projecting import Projecting
from readmodel.reads import Reads
from readmodel.refreshing import Refresher
from readmodel.tiers import Tiers
from runtime.redis_client import open_redis
from runtime.settings import Settings
from tests.unit.readmodel.commits import REGISTRY
from workers.projector_cache import CacheProjector
from workers.projector_rds import RdsProjector

if TYPE_CHECKING:
    from redis.asyncio import Redis

GATEWAYS: Final = 3
FILL_SECONDS, REFRESH_SECONDS = 0.05, 0.02
SLOW_FILLS, SLOW_SECONDS = 0.2, 1.0
"""So many fills wait until a change has gone by, or as long: what races must not depend on the machine's pace."""
PATIENCE: Final = 2.0
"""For Redis: the race is to be run, not to be evaded into PostgreSQL."""
_VERSIONED: Final = """
local function version(head)
  return type(head) == 'string' and tonumber(string.match(head, '^{"format":1,"version":(%d+),')) or -1
end
if version(redis.call('GETRANGE', KEYS[1], 0, 63)) >= version(string.sub(ARGV[1], 1, 64)) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


class Passing:
    """Changes that go by."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def tell(self) -> None:
        """One has been passed by both projectors."""
        self._next.set()
        self._next = asyncio.Event()

    async def one(self) -> None:
        """Until the next one, or a second."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SLOW_SECONDS):
                await self._next.wait()


class Paused(Cache):
    """The cache itself, entered late."""

    def __init__(self, client: "Redis", place: tuple[str, int], race: tuple[random.Random, Passing], fault: str = "") -> None:
        super().__init__(client, *place, seconds=PATIENCE)
        self._redis, self._fault = client, fault
        self._dice, self._passing = race
        self.fills: Counter[str] = Counter()

    async def fill(self, key: str, nonce: str, value: bytes, ttl_ms: int) -> bool:
        if self._dice.random() < SLOW_FILLS:
            await self._passing.one()
        await asyncio.sleep(self._dice.random() * FILL_SECONDS)
        if self._fault == "plain":
            landed = bool(await self._redis.set(key, value, px=ttl_ms))
        elif self._fault == "versioned":
            answer: Any = self._redis.eval(_VERSIONED, 1, key, value, str(ttl_ms))
            landed = bool(await answer)
        else:
            landed = await super().fill(key, nonce, value, ttl_ms)
        self.fills["landed" if landed else "refused"] += 1
        return landed

    async def refresh(self, keys: Sequence[str], nonce: str, values: Sequence[tuple[bytes, int]]) -> int:
        await asyncio.sleep(self._dice.random() * REFRESH_SECONDS)
        return await super().refresh(keys, nonce, values)


class House(Struct):
    """What races."""

    client: "Redis"
    store: MemoryStore
    rds: RdsProjector
    cache: CacheProjector
    caches: list[Paused]
    gateways: list[Reads]
    prefix: str
    passing: Passing
    broken: bool
    """On purpose."""


@asynccontextmanager
async def opened(settings: Settings, dice: random.Random, fault: str) -> AsyncIterator[House]:
    """On a migrated database of its own and a Redis."""
    async with AsyncExitStack() as stack:

        async def database(limits: Any) -> Database:
            return await stack.enter_async_context(open_database(settings, limits))

        client = await stack.enter_async_context(open_redis(settings))
        projecting, refreshing = await database(PROJECTING), await database(REFRESHING)
        race = dice, Passing()
        place, store = (settings.stack, refreshing.generation), MemoryStore()
        channel = projected_channel(settings.stack, READ_MODEL)
        notices = await stack.enter_async_context(listening(Notices(await stack.enter_async_context(open_redis(settings)), channel)))
        followed = (Refresher(refreshing, Paused(client, place, race), REGISTRY), notices)
        caches, gateways = [], []
        for _ in range(GATEWAYS):
            own = await stack.enter_async_context(open_redis(settings))
            caches.append(Paused(own, place, race, fault))
            tiers = Tiers(await database(READING), caches[-1])
            stack.push_async_callback(tiers.close)
            progress = Progress(REGISTRY, refreshing.generation, shown=[PROJECTION.name])
            gateways.append(Reads(tiers, Holding(tiers, progress, notices, (store, Heads()))))
        rds = RdsProjector(Projecting(projecting, REGISTRY, store), client, settings.stack)
        cache = CacheProjector(followed, client, settings.stack)
        yield House(client, store, rds, cache, caches, gateways, caches[0].prefix, race[1], bool(fault))
