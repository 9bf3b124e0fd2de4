"""The real ports of queries: the only place that knows what stands behind them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic

from events.outcome import projected_channel
from events.store import EventStore
from readmodel.cache import Cache
from readmodel.comments.projection import PROJECTION
from readmodel.control import CONTROL_SCHEMA, READ_MODEL
from readmodel.database import FOLLOWING, READING, Shown, open_database, open_engine
from readmodel.domains import registry
from readmodel.entries import prefix
from readmodel.following import BOTH_SECONDS, EitherPrefix, FollowingReads, following
from readmodel.heads import Heads
from readmodel.holding import Holding
from readmodel.notices import Notices, listening
from readmodel.progress import Progress
from readmodel.reads import Reads
from readmodel.schema import verify
from readmodel.tiers import Tiers
from runtime.redis_client import open_redis
from runtime.settings import Settings, require


@asynccontextmanager
async def open_reads(settings: Settings, store: EventStore, heads: Heads) -> AsyncIterator[FollowingReads]:
    """Reads of the generation that is read; `heads`: what this process knows of the store. Raises DatabaseUnavailable, SchemaMismatch."""
    require(settings, "database_url", "redis_url")
    domains = registry(settings)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings, READING))
        await verify(database.engine, domains)
        client = await stack.enter_async_context(open_redis(settings))
        listener = await stack.enter_async_context(open_redis(settings))
        await Cache(client, settings.stack, database.generation).warm()
        notices = await stack.enter_async_context(listening(Notices(listener, projected_channel(settings.stack, READ_MODEL))))

        def make(now: Shown, before: Shown | None) -> tuple[Reads, Tiers]:
            mine = database if now.generation == database.generation else database.at(now.generation)
            cache = Cache(client, settings.stack, now.generation, cache=now.cache)
            tiers = (
                Tiers(mine, cache)
                if before is None
                else EitherPrefix(mine, cache, prefix(settings.stack, *before), monotonic() + BOTH_SECONDS)
            )
            progress = Progress(domains, now.generation, shown=[PROJECTION.name])
            return Reads(tiers, Holding(tiers, progress, notices, (store, heads))), tiers

        engine = open_engine(settings, CONTROL_SCHEMA, FOLLOWING)
        stack.push_async_callback(engine.dispose)
        first = Shown(database.generation, database.cache)
        yield await stack.enter_async_context(following(FollowingReads(first, engine, make)))
