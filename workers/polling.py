"""One receive after the other, and how the last one ends.

A long poll that is cancelled may have been answered already, and SQS hides what it answered for a whole visibility; an emulator does
so even for a caller who hung up long ago. So while messages come, polls are short, and a stop waits for the answer and gives it back.
On a queue that was silent for a while polls are long, and a stop ends them at once but for an answer on its way.
"""

import asyncio
from time import monotonic
from typing import Final

from runtime import logs
from runtime.aws import LONG_POLL_SECONDS
from runtime.errors import Retryable
from workers.queue import Delivery, Queue

SHORT_POLL_SECONDS: Final = 1
LIVELY_SECONDS: Final = 10.0
"""After the last message, or the start, in which polls are short."""
GRACE_SECONDS: Final = 0.2
"""For an answer on its way."""
NOT_WAITING: Final = float("inf")
_LOG: Final = logs.get("polling")


class Polling:
    """Of one queue, by one loop."""

    def __init__(self, queue: Queue, stop: asyncio.Event) -> None:
        self._queue, self._stop = queue, stop
        self._lively_until = monotonic() + LIVELY_SECONDS
        self.waiting_since = NOT_WAITING
        """When the poll that is under way was asked for."""

    async def receive(self) -> list[Delivery]:
        """What one receive brought; nothing once it is to stop. Raises Retryable."""
        wait = SHORT_POLL_SECONDS if monotonic() < self._lively_until else LONG_POLL_SECONDS
        self.waiting_since = monotonic()
        try:
            return await self._taken(await self._answer(wait))
        finally:
            self.waiting_since = NOT_WAITING

    async def look(self) -> list[Delivery]:
        """What is there now, beside a poll that waits. Raises Retryable."""
        return await self._taken(await self._queue.receive(0))

    async def _taken(self, found: list[Delivery]) -> list[Delivery]:
        if found:
            self._lively_until = monotonic() + LIVELY_SECONDS
        if found and self._stop.is_set():
            await self._give_back(found)
            return []
        return found

    async def _answer(self, wait: int) -> list[Delivery]:
        ends = monotonic() + wait
        asking = asyncio.ensure_future(self._queue.receive(wait))
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                rest = ends - monotonic()
                await asyncio.wait({asking}, timeout=GRACE_SECONDS + (max(rest, 0) if rest <= SHORT_POLL_SECONDS else 0))
            return asking.result() if asking.done() else []
        finally:
            for each in (asking, stopping):
                each.cancel()
            await asyncio.gather(asking, stopping, return_exceptions=True)

    async def _give_back(self, found: list[Delivery]) -> None:
        """At once, the last first."""
        try:
            await self._queue.extend(found[::-1], 0)
        except Retryable as wrong:
            _LOG.warning("messages not given back", action="receive", messages=len(found), error=str(wrong))
