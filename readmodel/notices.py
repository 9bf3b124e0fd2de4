"""Waiting for a projector: one subscription a process, many waiters.

A notice says only that looking again is worth it; the answer is always PostgreSQL's. So a lost notice, or Redis away, costs a
waiter time and nothing else: it looks again at its deadline, whenever the subscription fails or stands again, and every so often
while it is down. A subscription that has been silent is asked whether it still lives.
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

LISTEN_SECONDS: Final = 1.0
"""Of silence, until a ping is sent; as long again without an answer, and the connection counts as dead."""
DEAF_SECONDS: Final = 0.1
"""How often a waiter looks for itself while the subscription is down ..."""
GATHER_SECONDS: Final = 0.02
"""Between the first notice and the look, for others that come with it."""
DEAF_LOOKS: Final = 200
"""... but all of them together about so often a second."""
_LOG: Final = logs.get("notices")
_NOTICE: Final = msgspec.json.Decoder(list[tuple[StreamId, int]])


class Awaited:
    """Streams that somebody waits for, and the versions they must reach."""

    def __init__(self, notices: "Notices", wanted: Mapping[StreamId, int]) -> None:
        self._notices = notices
        self._open = dict(wanted)
        self._event, self._some = asyncio.Event(), asyncio.Event()

    def told(self, stream: StreamId, version: int) -> None:
        if version >= self._open.get(stream, 0):
            self._open.pop(stream, None)
            self._some.set()
        if not self._open:
            self._event.set()

    def look_again(self) -> None:
        """Whatever it waits for may have been told while nobody listened."""
        self._event.set()
        self._some.set()

    async def wait_for(self, rest: Collection[StreamId], seconds: float) -> None:
        """Until all of `rest` were told of since this was entered, or `seconds` are over, or it is worth looking again."""
        self._open = {stream: version for stream, version in self._open.items() if stream in rest}
        if not self._open:
            return
        if not self._notices.ready.is_set():
            seconds = min(seconds, self._notices.deaf_seconds())
        await _set_within(self._event, seconds)

    async def wait_for_some(self, rest: Collection[StreamId], seconds: float) -> None:
        """Until one of `rest` was told of since this was entered, and whatever came with it; or `seconds` are over, or as above."""
        told = len([stream for stream in rest if stream not in self._open])
        self._open = {stream: version for stream, version in self._open.items() if stream in rest}
        if not told:
            await _set_within(self._some, seconds)
        if self._open and self._some.is_set():
            await _set_within(self._event, GATHER_SECONDS)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
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

    def deaf_seconds(self) -> float:
        """How long a waiter waits that nobody can tell."""
        return DEAF_SECONDS + len(self._waiting) / DEAF_LOOKS

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
                self._wake()
                _LOG.warning("not listening", action="listen", error=type(wrong).__name__, failures=failures)
                await asyncio.sleep(backoff(failures, random.random()))  # noqa: S311 - jitter

    async def _subscribed(self) -> None:
        async with self._client.pubsub() as subscription:
            await subscription.subscribe(self._channel)
            asked = False
            while True:
                message = await subscription.get_message(timeout=LISTEN_SECONDS)
                if message is None:
                    if asked:
                        raise redis.exceptions.ConnectionError("silent")
                    await subscription.ping()
                asked = message is None
                if message is not None and message["type"] == "subscribe":
                    self.ready.set()
                    self._wake()
                elif message is not None and message["type"] == "message":
                    self.tell(message["data"])

    def _wake(self) -> None:
        for waiters in self._waiting.values():
            for awaited in waiters:
                awaited.look_again()


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
