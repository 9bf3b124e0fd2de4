"""The projector "rds": commits into PostgreSQL. `headrace run projector-rds`.

A batch is in PostgreSQL, or parked there with a reason, before any of its messages is deleted; dying in between costs a second
delivery, which is then a duplicate.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final

from events.dynamo_store import open_store
from events.envelope import Commit
from readmodel.applying import Applied
from readmodel.database import PROJECTING, check_database, open_database
from readmodel.domains import registry
from readmodel.parking import count_parked
from readmodel.projecting import Projecting
from readmodel.schema import verify
from runtime import logs
from runtime.aws import open_aws
from runtime.errors import Fatal
from runtime.metrics import COMMITS, DISCARDS, ENVELOPES, HOP_SECONDS, MESSAGES, PARKED
from runtime.redis_client import open_redis
from runtime.settings import Settings, require
from runtime.stack import load_stack
from workers.consumer import Delivery, Handled, consume, open_queue
from workers.process import Ready, run_role
from workers.projecting import Passed, open_deliveries, tell

if TYPE_CHECKING:
    from redis.asyncio import Redis

LANES: Final = 4
PARKS_A_MINUTE: Final = 100
"""More new parks than this are no accident of single streams: stop before everything is parked."""
_LOG: Final = logs.get("projector_rds")


class TooManyParks(Fatal):
    """Something is wrong with more than single streams; an operator must look."""


class RdsProjector:
    """`handle` is the consumer loop's handler; `broken` is set when this projector must stop, with the reason in `why`."""

    def __init__(self, projecting: Projecting, client: "Redis", stack: str) -> None:
        self._projecting, self._client, self._stack = projecting, client, stack
        self._parks: deque[float] = deque()
        self._passed = Passed()
        self.broken = asyncio.Event()

    async def handle(self, deliveries: Sequence[Delivery]) -> Handled:
        """What is done when this returns is committed."""
        began = perf_counter()
        opened = open_deliveries(deliveries)
        MESSAGES.labels("rds").inc(len(deliveries))
        ENVELOPES.labels("rds").inc(len(opened.commits) + len(opened.stubs))
        applied = await self._projecting.project(opened.commits, opened.stubs)
        await tell(self._client, self._stack, "rds", applied.advanced)
        self._observe(applied, opened.commits, began)
        return opened.handled(deliveries)

    def _observe(self, applied: Applied, commits: Sequence[Commit], began: float) -> None:
        for verdict, count in applied.counts.items():
            COMMITS.labels("rds", verdict.value).inc(count)
        for unit, fault in applied.parked:
            PARKED.inc()
            DISCARDS.labels("rds", fault.reason).inc()
            _LOG.error(
                "stream parked",
                action="park",
                stream=unit.stream,
                projection=unit.projection.name,
                reason=fault.reason,
                detail=fault.detail[:200],
                version=fault.version,
            )
        self._count_parks(len(applied.parked))
        HOP_SECONDS.labels("rds").observe(perf_counter() - began)
        self._passed.note(commits)
        _LOG.info(
            "batch applied",
            action="apply",
            commits=len(commits),
            streams=len(applied.advanced),
            **{verdict.value: count for verdict, count in applied.counts.items()},
        )

    def _count_parks(self, parks: int) -> None:
        since = monotonic() - 60
        self._parks.extend([monotonic()] * parks)
        while self._parks and self._parks[0] < since:
            self._parks.popleft()
        if len(self._parks) > PARKS_A_MINUTE:
            self.broken.set()


def main(settings: Settings) -> int:
    """Exit code of the process."""
    return run_role(settings, "projector-rds", _serve)


async def _serve(settings: Settings, stop: asyncio.Event, ready: Ready) -> None:
    require(settings, "database_url", "redis_url")
    domains = registry(settings)
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(open_aws(settings))
        facts = await load_stack(await aws.dynamodb(), settings)
        store = await open_store(aws, facts, settings)
        database = await stack.enter_async_context(open_database(settings, PROJECTING))
        await verify(database.engine, domains)
        PARKED.set(await count_parked(database.engine))
        client = await stack.enter_async_context(open_redis(settings))
        queue = await open_queue(aws, facts, "rds", settings)
        projector = RdsProjector(Projecting(database, domains, store), client, settings.stack)
        checks = {"sqs": queue.check, "dynamodb": store.check, "postgres": lambda: check_database(database)}
        await stack.enter_async_context(ready.listening(checks))
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(_stop_when_broken(projector.broken, stop))
            await consume(queue, projector.handle, stop, LANES)
            watch.cancel()
        if projector.broken.is_set():
            raise TooManyParks(f"more than {PARKS_A_MINUTE} streams parked within a minute; see `headrace parked list`")


async def _stop_when_broken(broken: asyncio.Event, stop: asyncio.Event) -> None:
    await broken.wait()
    stop.set()
