"""What a rebuild's own queue brings, into the generation it builds: until nothing comes any more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from readmodel.projecting import Projecting
from runtime import logs
from runtime.errors import Retryable
from runtime.lifecycle import backoff, ended
from workers.projecting import open_deliveries
from workers.queue import MOST, Queue

LANES: Final = 4
WAIT_SECONDS: Final = 1
_LOG: Final = logs.get("rebuild")


class Tail:
    """Reads on and on, once `running`. Messages that nobody can read are passed over: the store has what they stood for."""

    def __init__(self, queue: Queue, projecting: Projecting) -> None:
        self._queue, self._projecting = queue, projecting
        self.commits = 0
        """Taken from the queue."""
        self._silent = [0] * LANES
        """By lane, receives in a row that were not full: 1 says that the queue was nearly empty, more that it was empty."""
        self._heard = asyncio.Condition()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While inside; raises what the reading came to, unless it is Retryable."""
        async with asyncio.TaskGroup() as tasks:
            lanes = [tasks.create_task(self._lane(number)) for number in range(LANES)]
            try:
                yield
            finally:
                for lane in lanes:
                    await ended(lane)

    async def silent(self, receives: int, seconds: float) -> bool:
        """Until every lane found so little so many times in a row, counted from now on. False when that takes longer than `seconds`."""
        self._silent = [0] * LANES
        try:
            async with asyncio.timeout(seconds), self._heard:
                await self._heard.wait_for(lambda: min(self._silent) >= receives)
        except TimeoutError:
            return False
        return True

    async def _lane(self, number: int) -> None:
        failures = 0
        while True:
            try:
                found = await self._some()
                failures = 0
            except Retryable as wrong:
                failures += 1
                _LOG.warning("tail not read", action="tail", error=type(wrong).__name__, detail=str(wrong), failures=failures)
                await asyncio.sleep(backoff(failures, 0.5))
                continue
            async with self._heard:
                self._silent[number] = 0 if found == MOST else self._silent[number] + 1
                self._heard.notify_all()

    async def _some(self) -> int:
        """One receive, applied and deleted. How many messages there were."""
        deliveries = await self._queue.receive(WAIT_SECONDS)
        if deliveries:
            opened = open_deliveries(deliveries)
            await self._projecting.project(opened.commits, opened.stubs)
            await self._queue.delete(deliveries)
            self.commits += len(opened.commits) + len(opened.stubs)
        return len(deliveries)
