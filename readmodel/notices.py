"""Waiting for a projector: one subscription a process, many waiters.

A notice says only that looking again is worth it; the answer is always PostgreSQL's. So a lost notice, or Redis away, costs a
waiter time and nothing else: it looks again at its deadline, and every so often while the subscription is down.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import msgspec
import redis.exceptions

from events.ids import StreamId
from runtime import logs
from runtime.lifecycle import backoff, ended

if TYPE_CHECKING:
    from redis.asyncio import Redis

LISTEN_SECONDS: Final = 5.0
DEAF_SECONDS: Final = 0.1
"""How often a waiter looks for itself while the subscription is down."""
_LOG: Final = logs.get("notices")
_NOTICE: Final = msgspec.json.Decoder(list[tuple[StreamId, int]])


class Awaited:
    """Streams that somebody waits for, and the versions they must reach."""

    def __init__(self, notices: "Notices", wanted: Mapping[StreamId, int]) -> None:
        self._notices = notices
        self._open = dict(wanted)
        self._event = asyncio.Event()

    def told(self, stream: StreamId, version: int) -> None:
        if version >= self._open.get(stream, 0):
            self._open.pop(stream, None)
        if not self._open:
            self._event.set()

    async def wait_for(self, rest: Collection[StreamId], seconds: float) -> None:
        """Until all of `rest` were told of since this was entered, or `seconds` are over, or sooner when nobody can be told."""
        self._open = {stream: version for stream, version in self._open.items() if stream in rest}
        if not self._open:
            return
        if not self._notices.ready.is_set():
            seconds = min(seconds, DEAF_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return


class Notices:
    """`listen` runs beside the waiters for as long as the process does."""

    def __init__(self, client: "Redis", channel: str) -> None:
        self._client, self._channel = client, channel
        self._waiting: dict[StreamId, set[Awaited]] = {}
        self.ready = asyncio.Event()
        """Set while the subscription stands."""

    @contextmanager
    def expecting(self, wanted: Mapping[StreamId, int]) -> Iterator[Awaited]:
        """Enter it before looking: what is told between the look and the wait then counts."""
        awaited = Awaited(self, wanted)
        for stream in wanted:
            self._waiting.setdefault(stream, set()).add(awaited)
        try:
            yield awaited
        finally:
            for stream in wanted:
                waiters = self._waiting[stream]
                waiters.discard(awaited)
                if not waiters:
                    del self._waiting[stream]

    def tell(self, message: bytes) -> None:
        """One message from the channel; what is not ours is ignored."""
        if not self._waiting:
            return
        try:
            notice = _NOTICE.decode(message)
        except msgspec.MsgspecError:
            return
        for stream, version in notice:
            for awaited in self._waiting.get(stream, ()):
                awaited.told(stream, version)

    async def listen(self) -> None:
        """Until cancelled; reconnects for ever, with a growing pause."""
        failures = 0
        while True:
            try:
                await self._subscribed()
            except (redis.exceptions.RedisError, OSError) as wrong:
                failures = 1 if self.ready.is_set() else failures + 1
                self.ready.clear()
                _LOG.warning("not listening", action="listen", error=type(wrong).__name__, failures=failures)
                await asyncio.sleep(backoff(failures, random.random()))  # noqa: S311 - jitter

    async def _subscribed(self) -> None:
        async with self._client.pubsub() as subscription:
            await subscription.subscribe(self._channel)
            while True:
                message = await subscription.get_message(timeout=LISTEN_SECONDS)
                if message is not None and message["type"] == "subscribe":
                    self.ready.set()
                elif message is not None:
                    self.tell(message["data"])


@asynccontextmanager
async def listening(notices: Notices) -> AsyncIterator[Notices]:
    """Listen while inside."""
    task = asyncio.create_task(notices.listen())
    try:
        yield notices
    finally:
        await ended(task)
        with suppress(asyncio.CancelledError):
            await task
