"""Redrives parks page by page, each generation with the projector that is its own."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from events.dynamo_store import open_store
from events.ids import StreamId
from events.store import EventStore
from readmodel.cache import PATIENT_SECONDS, Cache
from readmodel.control import BESIDE, READ_MODEL
from readmodel.database import PROJECTING, Database, open_database
from readmodel.domains import registry
from readmodel.parking import FIRST, Parked, Which, list_parked
from readmodel.projecting import Projecting
from readmodel.redriving import Redriven, redrive, refresh
from readmodel.refreshing import Refresher
from readmodel.schema import verify
from runtime.aws import Aws
from runtime.errors import Retryable
from runtime.lifecycle import backoff
from runtime.redis_client import open_redis
from runtime.settings import Settings
from runtime.stack import Stack
from workers.amqp.exchange import Exchange, open_exchange
from workers.amqp.publishing import publishing
from workers.projecting import tell

if TYPE_CHECKING:
    from redis.asyncio import Redis

_T = TypeVar("_T")
PAGE: Final = 20
"""Parks at a time: their streams are held in memory from the store's read to the commit."""
ATTEMPTS: Final = 5
NO_BROKER: Final = "HEADRACE_AMQP_URL is not set, so nothing can be published"


@dataclass(slots=True)
class Outcome:
    """What a command's redrive came to. `stuck`: still parked, and why."""

    ended: list[Parked] = field(default_factory=list)
    stuck: list[tuple[str, StreamId, str]] = field(default_factory=list)
    stale: set[StreamId] = field(default_factory=set)
    """Applied, but Redis could not be told."""
    seen: set[StreamId] = field(default_factory=set)


class Redriver:
    """Used inside `open_redriver`."""

    def __init__(self, settings: Settings, ports: tuple[EventStore, Database, "Redis"], held: AsyncExitStack) -> None:
        self._settings, self._domains, self._held = settings, registry(settings), held
        self._store, self._database, self._client = ports
        self._exchange: Exchange | None = None

    async def every(self, engine: AsyncEngine, which: Which) -> Outcome:
        """All of `which` that there are, in order, each once. Raises Retryable; what was done stays done."""
        done, after = Outcome(), FIRST
        while page := await list_parked(engine, after, PAGE, which, fed=True):
            after = page[-1].place
            # The current one last: with it go all that are fed, in one transaction, and the feed is told.
            for generation in sorted({park.generation for park in page}, key=lambda each: (each == self._database.generation, each)):
                await self._some(generation, [park for park in page if park.generation == generation], done)
        return done

    async def _some(self, generation: int, parks: list[Parked], done: Outcome) -> None:
        done.seen.update(park.stream for park in parks)
        if generation == BESIDE and not self._settings.amqp_url:
            done.stuck += [(park.projector, park.stream, NO_BROKER) for park in parks]
            return
        projecting = await self._projecting(generation)
        found = await _patiently(lambda: self._redrive(projecting, parks))
        done.ended += found.ended
        done.stuck += [(name, stream, f"{fault.reason} at version {fault.version}: {fault.detail}") for name, stream, fault in found.again]
        if generation != BESIDE:
            await self._follow(found.advanced, done)

    async def _redrive(self, projecting: Projecting, parks: list[Parked]) -> Redriven:
        if self._exchange is not None:
            await self._exchange.ready()
        return await redrive(self._database.engine, projecting, parks)

    async def _projecting(self, generation: int) -> Projecting:
        database = self._database
        if generation == database.generation:
            return Projecting(database, self._domains, self._store, feed=self._settings.feed_seconds > 0)
        if generation != BESIDE:
            return Projecting(database.at(generation), self._domains, self._store, alone=True)
        if self._exchange is None:
            self._exchange = await self._held.enter_async_context(open_exchange(self._settings.amqp_url, "headrace parked"))
        return publishing(database, self._domains, self._store, self._exchange)

    async def _follow(self, advanced: dict[StreamId, int], done: Outcome) -> None:
        """Redis, and those who wait. Not done when Redis is away, whose values then are as old as before."""
        if not advanced:
            return
        cache = Cache(self._client, self._settings.stack, self._database.generation, PATIENT_SECONDS)
        refresher = Refresher(self._database, cache, self._domains)
        try:
            await _patiently(lambda: refresh(refresher, advanced))
        except Retryable:
            done.stale.update(advanced)
        await tell(self._client, self._settings.stack, READ_MODEL, advanced)


async def _patiently(work: Callable[[], Awaitable[_T]]) -> _T:
    """What is away for a moment is waited for."""
    for attempt in range(1, ATTEMPTS):
        try:
            return await work()
        except Retryable:
            await asyncio.sleep(backoff(attempt, random.random(), first=0.2, most=5.0))  # noqa: S311 - jitter
    return await work()


@asynccontextmanager
async def open_redriver(settings: Settings, aws: Aws, facts: Stack) -> AsyncIterator[Redriver]:
    """Nothing is connected before it is needed."""
    async with AsyncExitStack() as held:
        database = await held.enter_async_context(open_database(settings, PROJECTING))
        await verify(database.engine, registry(settings))
        client = await held.enter_async_context(open_redis(settings))
        yield Redriver(settings, (await open_store(aws, facts, settings), database, client), held)
