"""The projector "cache": what Redis holds follows PostgreSQL. `headrace run projector-cache`.

It writes nothing that nobody asked for and nothing that PostgreSQL does not have yet: commits that the projector "rds" has not
applied stay in hand, and its notice wakes whoever waits for them, however long it took. What is waited for holds up its message
group, as SQS has it, and a lane: there are more lanes than groups. PostgreSQL or Redis away: the same; queries go on without Redis.
"""

from asyncio import Event, get_running_loop
from collections.abc import Sequence
from contextlib import AsyncExitStack
from time import perf_counter
from typing import TYPE_CHECKING, Final

from events.ids import StreamId, Version
from events.outcome import projected_channel
from readmodel.cache import PATIENT_SECONDS, Cache
from readmodel.control import CACHE, READ_MODEL
from readmodel.database import REFRESHING, check_database, open_database
from readmodel.domains import registry
from readmodel.notices import Notices, listening
from readmodel.refreshing import Refresher
from readmodel.schema import verify
from runtime import logs
from runtime.aws import open_aws
from runtime.errors import Retryable
from runtime.metrics import COMMITS, ENVELOPES, HOP_SECONDS, MESSAGES
from runtime.redis_client import open_redis
from runtime.settings import Settings, require
from runtime.stack import load_stack
from workers.consumer import Delivery, Handled, consume, open_queue
from workers.packing import GROUPS
from workers.process import Ready, run_role
from workers.projecting import Opened, Passed, open_deliveries, tell

if TYPE_CHECKING:
    from redis.asyncio import Redis

LANES: Final = GROUPS + 4
"""A batch that waits keeps at least one message group to itself, so there are always lanes for what need not wait."""
WAIT_SECONDS: Final = 3.0
"""For PostgreSQL to have commits, in one attempt; others follow at once, for as long as the consumer loop allows."""
SETTLE_SECONDS: Final = 0.5
"""As long for the rest of a batch of which something was passed: its messages are to be settled."""
AWAY_SECONDS: Final = 0.5
"""Between two tries while PostgreSQL or Redis is away, and while nobody can tell."""
_LOG: Final = logs.get("projector_cache")


class CacheProjector:
    """`handle` is the consumer loop's handler."""

    def __init__(self, follow: tuple[Refresher, Notices], client: "Redis", stack: str, wait: float = WAIT_SECONDS) -> None:
        self._refresher, self._notices = follow
        self._client, self._stack, self._wait = client, stack, wait
        self._passed = Passed()

    async def handle(self, deliveries: Sequence[Delivery]) -> Handled:
        """What is done when this returns was in PostgreSQL, and Redis holds nothing older."""
        began = perf_counter()
        opened = open_deliveries(deliveries)
        MESSAGES.labels("cache").inc(len(deliveries))
        ENVELOPES.labels("cache").inc(len(opened.commits) + len(opened.stubs))
        wanted = _wanted(opened)
        rest = await self._follow(wanted)
        for verdict, count in (("apply", len(wanted) - len(rest)), ("gap", len(rest))):
            COMMITS.labels("cache", verdict).inc(count)
        HOP_SECONDS.labels("cache").observe(perf_counter() - began)
        if not rest:
            self._passed.note(opened.commits)
        _LOG.info("batch followed", action="follow", commits=len(opened.commits), streams=len(wanted), not_yet=len(rest))
        return opened.handled(deliveries, rest)

    async def _follow(self, wanted: dict[StreamId, Version]) -> dict[StreamId, Version]:
        """Refresh what PostgreSQL has, as it gets there. Returns the streams it did not get to in time."""
        rest = wanted
        began = get_running_loop().time()
        while rest:
            with self._notices.expecting(rest) as awaited:
                patience = self._wait
                try:
                    rest = await self._refreshed(rest)
                except Retryable as away:
                    _LOG.warning("batch not followed yet", action="follow", error=type(away).__name__, detail=str(away))
                    patience = AWAY_SECONDS
                until = began + (min(self._wait, SETTLE_SECONDS) if len(rest) < len(wanted) else self._wait)
                left = until - get_running_loop().time()
                if not rest or left <= 0:
                    break
                if not self._notices.ready.is_set():
                    patience = AWAY_SECONDS
                await awaited.wait_for_some(rest, min(left, patience))
        return rest

    async def _refreshed(self, wanted: dict[StreamId, Version]) -> dict[StreamId, Version]:
        """One look, and a refresh of what PostgreSQL has passed, told to whoever waits. Returns the others. Raises Retryable."""
        reached = await self._refresher.reached(list(wanted))
        passed = {stream: reached[stream] for stream, version in wanted.items() if reached[stream].passed(version)}
        if passed:
            await self._refresher.refresh(passed)
            await tell(self._client, self._stack, CACHE, {stream: wanted[stream] for stream in passed})
        return {stream: version for stream, version in wanted.items() if stream not in passed}


def _wanted(opened: Opened) -> dict[StreamId, Version]:
    """The highest version spoken of, by stream."""
    wanted: dict[StreamId, Version] = {}
    for each in opened.commits:
        wanted[each.stream] = max(each.last, wanted.get(each.stream, each.last))
    for stub in opened.stubs:
        wanted[stub.stream] = max(stub.last, wanted.get(stub.stream, stub.last))
    return wanted


def main(settings: Settings) -> int:
    """Exit code of the process."""
    return run_role(settings, "projector-cache", _serve)


async def _serve(settings: Settings, stop: Event, ready: Ready) -> None:
    require(settings, "database_url", "redis_url")
    domains = registry(settings)
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(open_aws(settings))
        facts = await load_stack(await aws.dynamodb(), settings)
        database = await stack.enter_async_context(open_database(settings, REFRESHING))
        await verify(database.engine, domains)
        client = await stack.enter_async_context(open_redis(settings))
        cache = Cache(client, settings.stack, database.generation, PATIENT_SECONDS)
        channel = projected_channel(settings.stack, READ_MODEL)
        notices = await stack.enter_async_context(listening(Notices(await stack.enter_async_context(open_redis(settings)), channel)))
        queue = await open_queue(aws, facts, "cache", settings)
        projector = CacheProjector((Refresher(database, cache, domains), notices), client, settings.stack)
        checks = {"sqs": queue.check, "redis": cache.check, "postgres": lambda: check_database(database)}
        await stack.enter_async_context(ready.listening(checks))
        await consume(queue, projector.handle, stop, LANES)
