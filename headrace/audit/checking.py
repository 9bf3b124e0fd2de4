"""One audit, read only, in bounded memory whatever the store holds.

1. The whole event store into a spool on disk. 2. A snapshot of PostgreSQL: who is late, and what has come since. What is late gets
time to arrive, then the snapshot is taken anew. 3. What came since is read from the store, so that the spool holds all that the
snapshot shows. 4. Stream by stream, both are held against each other; then the sums. 5. Redis against PostgreSQL as it is now.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from events.domain import Registry
from events.dynamo_store import open_store
from events.store import EventStore
from headrace.audit.arrivals import Arrivals, Patience
from headrace.audit.cached import Cached
from headrace.audit.findings import CHECKED, Findings, Noted
from headrace.audit.progress import Progress
from headrace.audit.reading import SEGMENTS, read_all, read_tails
from headrace.audit.rows import Rows
from headrace.audit.scanning import Scan, open_scan
from headrace.audit.spool import Spool, open_spool
from headrace.audit.standing import Where, places_of
from readmodel.auditing import Snapshot, snapshot
from readmodel.control import AMQP
from readmodel.database import AUDITING, Database, open_database
from readmodel.domains import registry
from readmodel.entries import prefix
from runtime.aws import Aws, endpoint, open_aws
from runtime.redis_client import open_redis
from runtime.settings import Settings
from runtime.stack import Stack, load_stack
from runtime.times import Micros
from workers.sighting import publishing_since

if TYPE_CHECKING:
    from redis.asyncio import Redis

_CONFIRM_SECONDS: Final = 1.0


class Ground(NamedTuple):
    """What an audit reads, and where it puts things aside. `since`: from when on everything stored must be published, too."""

    settings: Settings
    registry: Registry
    store: EventStore
    scan: Scan
    database: Database
    client: "Redis"
    spool: Spool
    places: dict[str, Where]
    since: Micros | None


async def audit(settings: Settings, settle: float, progress: Progress | None = None) -> Findings:
    """What is under way gets `settle` seconds in all to arrive. Raises Retryable when a store does not answer."""
    async with _ground(settings) as ground:
        return await _Audit(ground, Patience(settle), progress or Progress()).run()


@asynccontextmanager
async def _ground(settings: Settings) -> AsyncIterator[Ground]:
    domains = registry(settings)
    async with AsyncExitStack() as opened:
        aws = await opened.enter_async_context(open_aws(settings))
        database = await opened.enter_async_context(open_database(settings, AUDITING))
        client = await opened.enter_async_context(open_redis(settings))
        spool = await opened.enter_async_context(open_spool())
        facts = await load_stack(await aws.dynamodb(), settings)
        since = await published_from(aws, facts)
        places = places_of(domains, amqp=AMQP in facts.queues)
        store, scan = await open_store(aws, facts, settings), await open_scan(aws, settings)
        yield Ground(settings, domains, store, scan, database, client, spool, places, since)


class _Audit:
    """The steps, and what they share."""

    def __init__(self, ground: Ground, patience: Patience, progress: Progress) -> None:
        self._ground, self._patience, self._progress = ground, patience, progress
        self._noted = Noted()
        self._arrivals = Arrivals(ground.spool, ground.registry, ground.places, ground.since)
        self._rows = Rows(ground.spool, ground.registry, ground.places, self._noted)

    async def run(self) -> Findings:
        """All of them."""
        ground = self._ground
        segments = SEGMENTS if endpoint(ground.settings, "dynamodb") is None else 1
        with self._progress.step("commits read") as told:
            await read_all(ground.scan, ground.spool, segments, told, times=ground.since is not None)
        async with self._settled() as now:
            await read_tails(ground.store, ground.spool, now.stay)
            with self._progress.step("events checked") as told:
                await self._rows.check(now, self._arrivals, told)
            late = await self._arrivals.tell(now, self._noted)
            parked, discarded = await now.count_parked()
        await self._confirm()
        await self._cached(late=late > 0)
        differences = sorted(self._noted.named)
        return Findings(
            ok=not differences,
            checked=CHECKED,
            streams=self._rows.streams,
            events=self._rows.events,
            pending=late,
            parked=parked,
            discarded=discarded,
            differences=differences,
            unnamed=self._noted.unnamed,
        )

    @asynccontextmanager
    async def _settled(self) -> AsyncIterator[Snapshot]:
        """A snapshot in which nothing is late, or of when patience has ended; what it shows beyond the spool is marked."""
        database = self._ground.database
        async with snapshot(database) as now:
            await self._arrivals.mark(now)
            if not await self._arrivals.count():
                yield now
                return
        with self._progress.waiting("streams are not everywhere yet") as told:
            await self._arrivals.wait(database, self._patience, told)
        async with snapshot(database) as now:
            await self._arrivals.mark(now)
            yield now

    async def _confirm(self) -> None:
        if await self._ground.spool.count("suspects"):
            await self._patience.pause(_CONFIRM_SECONDS)
            async with snapshot(self._ground.database) as now:
                await self._rows.confirm(now)

    async def _cached(self, *, late: bool) -> None:
        ground = self._ground
        check = Cached(
            ground.client, prefix(ground.settings.stack, ground.database.generation, ground.database.cache), ground.database, self._noted
        )
        with self._progress.step("cached values checked") as told:
            await check.check(ground.spool, told)
        waited = await check.wait(ground.spool, self._patience)
        await check.tell(ground.spool, still=waited and not late)


async def published_from(aws: Aws, facts: Stack) -> Micros | None:
    """When the queue of the projector `amqp` was made: older streams are published when they are next written to."""
    since = await publishing_since(await aws.sqs(), facts)
    return None if since is None else Micros(int(since * 1_000_000))
