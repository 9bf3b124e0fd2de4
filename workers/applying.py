"""A projector that applies commits: a batch is durable, or parked with a reason, before any of its messages is deleted; dying in between
costs a second delivery, which is then a duplicate.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, ClassVar, Final

from sqlalchemy.ext.asyncio import AsyncEngine

from events.envelope import Commit
from readmodel.applying import Applied
from readmodel.projecting import Projecting
from runtime import logs
from runtime.errors import Fatal
from runtime.metrics import COMMITS, DISCARDS, ENVELOPES, HOP_SECONDS, MESSAGES
from workers.consumer import Delivery, Handled, Queue, consume
from workers.parks import counting
from workers.projecting import Passed, open_deliveries, tell
from workers.waking import Waker

if TYPE_CHECKING:
    from redis.asyncio import Redis

LANES: Final = 4
PARKS_A_MINUTE: Final = 100
"""More new parks than this are no accident of single streams: stop before everything is parked."""
_LOG: Final = logs.get("projector")


class TooManyParks(Fatal):
    """Something is wrong with more than single streams; an operator must look."""


class Applying:
    """`handle` is the consumer loop's handler; `broken` is set when this projector must stop, with the reason in `why`."""

    name: ClassVar[str]

    def __init__(self, projecting: Projecting, client: "Redis", stack: str) -> None:
        self._projecting, self._client, self._stack = projecting, client, stack
        self._parks: deque[float] = deque()
        self._passed = Passed()
        self.broken = asyncio.Event()
        self.parked = asyncio.Event()
        """Set at every new park, for whoever counts them."""

    async def handle(self, deliveries: Sequence[Delivery]) -> Handled:
        """What is done when this returns is committed."""
        began = perf_counter()
        opened = open_deliveries(deliveries)
        MESSAGES.labels(self.name).inc(len(deliveries))
        ENVELOPES.labels(self.name).inc(len(opened.commits) + len(opened.stubs))
        applied = await self._projecting.project(opened.commits, opened.stubs)
        await tell(self._client, self._stack, self.name, applied.advanced)
        self._observe(applied, opened.commits, began)
        return opened.handled(deliveries)

    def _observe(self, applied: Applied, commits: Sequence[Commit], began: float) -> None:
        for verdict, count in applied.counts.items():
            COMMITS.labels(self.name, verdict.value).inc(count)
        if applied.parked:
            self.parked.set()
        for unit, fault in applied.parked:
            DISCARDS.labels(self.name, fault.reason).inc()
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
        HOP_SECONDS.labels(self.name).observe(perf_counter() - began)
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


async def consume_unbroken(queue: Queue, projector: Applying, stop: asyncio.Event, engine: AsyncEngine, waker: Waker | None = None) -> None:
    """Until `stop`. `engine`: where parks are counted; `waker`: called when messages were sent.

    Raises TooManyParks when the projector must not go on.
    """
    async with asyncio.TaskGroup() as tasks:
        beside = [_stop_when_broken(projector.broken, stop), counting(engine, projector.name, projector.parked)]
        watching = [tasks.create_task(each) for each in beside]
        await consume(queue, projector.handle, stop, LANES, waker)
        for each in watching:
            each.cancel()
    if projector.broken.is_set():
        raise TooManyParks(f"more than {PARKS_A_MINUTE} streams parked within a minute; see `headrace parked list`")


async def _stop_when_broken(broken: asyncio.Event, stop: asyncio.Event) -> None:
    await broken.wait()
    stop.set()
