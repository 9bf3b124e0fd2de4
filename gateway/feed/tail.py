"""The newest changes, read once for all who follow and held in a bounded ring.

It looks when the projector's notices say that there is something, at most every 50 ms, and every second without them; and only while
somebody follows. A follower whom the ring has left behind reads its own pages until it has caught up.
"""

import asyncio
import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from gateway.feed.lines import Batch, Form, Line, Subject, batch_of
from gateway.outcomes import Notices
from readmodel.feed import Point
from readmodel.feed_reading import Changes, Horizon, Page
from runtime.errors import Retryable
from runtime.lifecycle import backoff, ended
from runtime.logs import get
from runtime.metrics import FEED_FOLLOWERS

LEAST_SECONDS: Final = 0.05
"""Between two looks."""
IDLE_SECONDS: Final = 1.0
"""Between two looks while nothing is told."""
HELD_SECONDS: Final = 0.1
"""The same while a transaction is under way that nobody may tell of."""
PATIENCE_SECONDS: Final = 1.0
"""How long the oldest transaction of the server may hold rows back before it is looked at whether it can bring any."""
RING_SIZE: Final = 4 * 1024 * 1024
"""Characters of events; the blocks made of them take about twice that again."""
RING_BATCHES: Final = 512
_LOG: Final = get("feed")


class Tail:
    """`run` in a task of its own until cancelled."""

    def __init__(self, changes: Changes, notices: Notices, form: Form) -> None:
        self._changes, self._notices, self._form = changes, notices, form
        self._batches: list[Batch] = []
        self._size = 0
        self._start: Point | None = None
        """Everything between here and `end` is in the ring; None while nobody reads."""
        self.end = Point(0)
        self.horizon = 0
        """Rows of transactions before it may be read."""
        self._oldest, self._held_since = 0, 0.0
        self._held = False
        self._followers: dict[Subject | None, set[asyncio.Event]] = {}
        self._somebody = asyncio.Event()
        self._told = asyncio.Event()

    @contextmanager
    def followed(self, subject: Subject | None) -> Iterator[asyncio.Event]:
        """Reads on while anybody is inside. The event is set when there is more of the subject (None: of any): clear it before you look."""
        stirred = asyncio.Event()
        self._followers.setdefault(subject, set()).add(stirred)
        FEED_FOLLOWERS.inc()
        self._somebody.set()
        try:
            yield stirred
        finally:
            FEED_FOLLOWERS.dec()
            self._followers[subject].discard(stirred)
            if not self._followers[subject]:
                del self._followers[subject]
            if not self._followers:
                self._somebody.clear()

    @property
    def reading(self) -> bool:
        """Whether it is known by now where it began."""
        return self._start is not None

    def reaches(self, point: Point) -> bool:
        """Whether all that lies behind this point is here."""
        return self._start is not None and self._start <= point

    def next(self, point: Point) -> Batch | None:
        """The first batch with anything behind this point; only when `reaches` it. One at a time: who holds none keeps none alive."""
        place = bisect_right(self._batches, point, key=lambda batch: batch.end)
        return self._batches[place] if place < len(self._batches) else None

    async def run(self) -> None:
        """Reads while somebody follows."""
        while True:
            await self._somebody.wait()
            async with asyncio.TaskGroup() as tasks:
                listening = tasks.create_task(self._listen())
                try:
                    await self._follow()
                finally:
                    self._forget()
                    await ended(listening)

    def _forget(self) -> None:
        self._batches.clear()
        self._size, self._start = 0, None

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        attempt = 0
        while self._followers:
            self._told.clear()
            began = loop.time()
            try:
                more = await self._read()
            except Retryable as away:
                attempt += 1
                if attempt == 1:
                    _LOG.warning("changes cannot be read", action="read", error=type(away).__name__)
                await asyncio.sleep(backoff(attempt, random.random()))  # noqa: S311 - jitter
                continue
            attempt = 0
            if not more:
                await self._rest(began + LEAST_SECONDS)

    async def _rest(self, until: float) -> None:
        """Until something is told, but at least until then."""
        try:
            async with asyncio.timeout(HELD_SECONDS if self._held else IDLE_SECONDS):
                await self._told.wait()
        except TimeoutError:
            pass
        await asyncio.sleep(max(0.0, until - asyncio.get_running_loop().time()))

    async def _read(self) -> bool:
        """Whether there is more to read at once."""
        now = asyncio.get_running_loop().time()
        careful = self._start is None or (self._held_since > 0 and now - self._held_since > PATIENCE_SECONDS)
        seen = await self._changes.horizon(careful=careful)
        self._note(seen, now)
        self._held = seen.held_back and not careful  # a projector tells of its end; nothing else does
        if self._start is None:
            self.horizon = seen.transaction
            self._start = self.end = Point(seen.transaction)
            self._stir(list(self._followers))
            return False
        self.horizon = max(self.horizon, seen.transaction)
        if Point(self.horizon) <= self.end:
            return False
        page = await self._changes.page(self.end, self.horizon)
        self._add(page)
        return page.more

    def _note(self, seen: Horizon, now: float) -> None:
        """Since when the same transaction is the oldest of the server."""
        if seen.oldest == seen.next:
            self._held_since = 0.0
        elif seen.oldest != self._oldest or not self._held_since:
            self._held_since = now
        self._oldest = seen.oldest

    def _add(self, page: Page) -> None:
        if page.forgotten > self.end:  # away for longer than changes are kept: each follower finds out by itself
            self._forget()
            self._start = page.forgotten
            self._stir(list(self._followers))
        if page.changes:
            batch = batch_of([Line(change, self._form) for change in page.changes], page.end)
            self._batches.append(batch)
            self._size += batch.size
            self._stir([None, *batch.by_subject])
        while len(self._batches) > 1 and (self._size > RING_SIZE or len(self._batches) > RING_BATCHES):
            gone = self._batches.pop(0)
            self._size -= gone.size
            self._start = gone.end
        self.end = max(self.end, page.end)

    def _stir(self, subjects: Iterable[Subject | None]) -> None:
        for subject in subjects:
            for stirred in self._followers.get(subject, ()):
                stirred.set()

    async def _listen(self) -> None:
        """Notices only save time: without them it looks every second."""
        attempt = 0

        def listening() -> None:
            nonlocal attempt
            attempt = 0

        while True:
            try:
                await self._notices.listen(lambda _: self._told.set(), listening)
            except OSError as wrong:
                attempt += 1
                if attempt == 1:
                    _LOG.warning("subscription lost", action="subscribe", error=type(wrong).__name__)
            await asyncio.sleep(backoff(max(1, attempt), random.random(), most=2.0))  # noqa: S311 - jitter
