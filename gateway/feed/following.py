"""One follower: from where it stands through pages of its own, as far as it is behind the ring, and then along with it.

Nothing is queued for it here. What it is sent waits in its connection's buffer, up to that buffer's mark; then its walk stands still, and
goes on from PostgreSQL once it reads again. Who takes nothing for 30 seconds is cut off (`protocol`), and resumes by the last id it has.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from gateway.answers import Write
from gateway.feed import blocks
from gateway.feed.lines import Form, Line, Wanted
from gateway.feed.tail import Tail
from gateway.requests import Disconnected
from readmodel.feed import Point
from readmodel.feed_reading import NEVER, Asked, Changes
from runtime.errors import Retryable
from runtime.metrics import FEED_EVENTS, FEED_MISSED

HEARTBEAT_SECONDS: Final = 15.0
AGAIN_SECONDS: Final = 1.0
"""Until another try, while pages cannot be read."""
PIECE: Final = 32 * 1024
"""Bytes written together, or one event."""


class Source:
    """Where followers read: the ring, and pages of their own, so many at once."""

    def __init__(self, tail: Tail, changes: Changes, form: Form, pages_at_once: int) -> None:
        self.tail, self.form = tail, form
        self._changes, self._pages = changes, asyncio.Semaphore(pages_at_once)

    async def page(self, after: Point, asked: Asked) -> tuple[Sequence[Line], Point, Point]:
        """(lines, how far it has looked, up to where nothing is kept). Raises Retryable."""
        async with self._pages:
            page = await self._changes.page(after, self.tail.horizon, asked)
        return [Line(change, self.form) for change in page.changes], page.end, page.forgotten


class Follower:
    """One connection. `missed`: it must be told first that it missed changes; `abort` cuts the connection."""

    def __init__(self, source: Source, start: Point, wanted: Wanted, *, missed: bool, abort: Callable[[], None]) -> None:
        self._source, self._point, self._wanted, self._missed, self._abort = source, start, wanted, missed, abort
        self._loop = asyncio.get_running_loop()
        self._known = wanted.since == NEVER
        """Whether who resumes here gets the same; while it looks for where a time begins, only that time says where it is."""
        self._wrote = 0.0
        self._writing = False
        self._ended = False
        self._walking: asyncio.Task[None] | None = None

    async def follow(self, write: Write, gone: Callable[[], Awaitable[None]]) -> None:
        """Until the caller is gone, or `end`."""
        if self._ended:
            return
        try:
            with self._source.tail.followed(self._wanted.subject) as stirred:
                async with asyncio.TaskGroup() as tasks:
                    self._walking = walking = tasks.create_task(self._walk(write, stirred))
                    watching = tasks.create_task(_watch(gone))
                    walking.add_done_callback(lambda _: watching.cancel())
        except* Disconnected:
            pass

    def end(self) -> None:
        """At once: the process is about to stop. One that does not take what it was sent is cut off."""
        self._ended = True
        if self._writing:
            self._abort()
        if self._walking is not None:
            self._walking.cancel()

    async def _walk(self, write: Write, stirred: asyncio.Event) -> None:
        await self._put(write, blocks.opening(self._point if self._known else None))
        if self._missed:
            await self._put_missed(write)
        while True:
            stirred.clear()
            await self._step(write, stirred)
            if self._loop.time() - self._wrote >= HEARTBEAT_SECONDS:
                await self._put(write, blocks.heartbeat(self._point if self._known else None))

    async def _step(self, write: Write, stirred: asyncio.Event) -> None:
        tail = self._source.tail
        if not tail.reading:
            await self._wait(stirred)
        elif not tail.reaches(self._point):
            await self._catch_up(write)
        else:
            self._known = True
            while tail.reaches(self._point) and (batch := tail.next(self._point)) is not None:
                lines, end = batch.of(self._wanted), batch.end
                del batch  # whoever is slow keeps alive what is sent to it, and not what the ring has let go
                await self._send(write, lines)
                self._point = max(self._point, end)
            if not tail.reaches(self._point):
                return
            self._point = max(self._point, tail.end)
            if not await self._wait(stirred):  # there was nothing for it until now
                self._point = max(self._point, tail.end)

    async def _catch_up(self, write: Write) -> None:
        """One page."""
        subject = self._wanted.subject
        try:
            asked = Asked(None if subject is None else subject[1], self._wanted.since)
            lines, end, forgotten = await self._source.page(self._point, asked)
        except Retryable:
            await asyncio.sleep(AGAIN_SECONDS)
            return
        if forgotten > self._point:
            self._point = forgotten
            await self._put_missed(write)
        await self._send(write, [line for line in lines if subject is None or line.subject == subject])
        self._point = max(self._point, end)

    async def _send(self, write: Write, lines: Sequence[Line]) -> None:
        held: list[bytes] = []
        size = 0
        for line in lines:
            if line.change.at < self._wanted.since:
                continue
            for block in line.blocks(self._point):
                held.append(block)
                size += len(block)
                if size >= PIECE:
                    await self._put(write, b"".join(held), len(held))
                    held, size = [], 0
        if held:
            await self._put(write, b"".join(held), len(held))

    async def _put_missed(self, write: Write) -> None:
        FEED_MISSED.counts[()] += 1
        await self._put(write, blocks.missed(self._point))

    async def _put(self, write: Write, piece: bytes, events: int = 0) -> None:
        self._writing = True
        await write(piece)
        self._writing = False
        self._wrote = self._loop.time()
        FEED_EVENTS.counts[()] += events
        await asyncio.sleep(0)  # a write that need not wait does not let others run

    async def _wait(self, stirred: asyncio.Event) -> bool:
        """Until there is more, or a heartbeat is due: False."""
        try:
            async with asyncio.timeout_at(self._wrote + HEARTBEAT_SECONDS):
                return await stirred.wait()
        except TimeoutError:
            return stirred.is_set()


async def _watch(gone: Callable[[], Awaitable[None]]) -> None:
    await gone()
