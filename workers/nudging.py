"""A second look at a queue beside a long poll that is slow to notice.

SQS answers a waiting poll within some milliseconds of a message; an emulator may look only ten times a second. Whoever fills the queue
says so over Redis. When the poll that was waiting then still is a moment later, the queue is asked once more, without waiting; where that
brings nothing, since the poll was quicker or another process was, it is done ever more rarely. Without Redis only latency is lost.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from runtime import logs
from runtime.errors import Retryable
from runtime.lifecycle import pause
from runtime.metrics import NUDGES
from workers.polling import Polling
from workers.queue import Delivery
from workers.waking import Waker

MOMENT_SECONDS: Final = 0.02
"""For the poll itself to be answered, and for what else comes along."""
MOST_SKIPPED: Final = 63
SILENT_SECONDS: Final = 60.0
"""After which one asks again whether to stop."""
_LOG: Final = logs.get("nudging")

Take = Callable[[list[Delivery], float], None]


class Doubt:
    """Whether a further look is worth its call: after each one in vain twice as many are left out, until one brings something."""

    def __init__(self) -> None:
        self._skip = self._left = 0

    def worth(self) -> bool:
        """Asked once for each look that could be made."""
        self._left -= 1
        return self._left < 0

    def made(self, *, brought: bool) -> None:
        """How the look went."""
        self._skip = 0 if brought else min(2 * self._skip + 1, MOST_SKIPPED)
        self._left = self._skip


class Nudger:
    """Of one consumer loop. `free`: its lanes; a look is made only where one is free for what it brings."""

    def __init__(self, waker: Waker, polling: Polling, free: asyncio.Semaphore) -> None:
        self._waker, self._polling, self._free = waker, polling, free
        self._doubt = Doubt()

    async def run(self, take: Take, stop: asyncio.Event) -> None:
        """Until `stop`. `take` gets what a look brought and when it was asked for, with a lane reserved."""
        heard = self._waker.last_called
        while not stop.is_set():
            await self._waker.wait(stop, SILENT_SECONDS)
            if self._waker.last_called == heard or await pause(stop, MOMENT_SECONDS):
                continue
            heard = self._waker.last_called  # what was called in that moment is seen by the same look, what comes later is not
            if self._polling.waiting_since < self._waker.last_called and not self._free.locked() and self._doubt.worth():
                await self._look(take)

    async def _look(self, take: Take) -> None:
        await self._free.acquire()
        asked = monotonic()
        found: list[Delivery] = []
        try:
            found = await self._polling.look()
        except Retryable as wrong:
            _LOG.warning("look failed", action="look", error=str(wrong))
        finally:
            if not found:
                self._free.release()
        self._doubt.made(brought=bool(found))
        NUDGES.labels("brought" if found else "vain").inc()
        if found:
            take(found, asked)
