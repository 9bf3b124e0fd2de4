"""Reads that follow the generation: each process looks which one is read every second, and goes over to it by itself.

Between a switch and the last process's look some read one generation and some the other. That shows nowhere: both are fed by the same
transactions, and of what Redis keeps both prefixes are written by one call. A value that is under one prefix only must not be passed by
for something newer, though, which readers of the other would not yet see: so for a while after a switch a process looks under both.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from events.ids import StreamId
from readmodel.answers import Answer, CommentPage, CommentView, PictureView
from readmodel.cache import Cache
from readmodel.database import Database, Shown, shown
from readmodel.entries import Entry
from readmodel.errors import CacheUnavailable, DatabaseUnavailable, NoSchema, ReadsUnavailable
from readmodel.holds import NOTHING_HELD, Hold
from readmodel.pages import Page
from readmodel.reads import Reads
from readmodel.tiers import Looked, Read, Tiers
from runtime import logs
from runtime.lifecycle import ended

LOOK_SECONDS: Final = 1.0
BOTH_SECONDS: Final = 5.0
"""After a switch: until every process has looked."""
LEAVE_SECONDS: Final = 30.0
"""For reads under way in the generation that was left: one that waits for a token as long as it may, each look at its deadline."""
_LOG: Final = logs.get("following")
_T = TypeVar("_T")


class EitherPrefix(Tiers):
    """Of the generation that is read now; until `until` it looks under the prefix of before as well."""

    def __init__(self, database: Database, cache: Cache, before: str, until: float) -> None:
        super().__init__(database, cache)
        self._before, self._until = before, until

    async def look(self, key: str, read: Read) -> Looked:
        """As of Tiers."""
        if monotonic() < self._until:
            entry = await self._either(key, read)
            if entry is not None:
                return Looked(entry)
        return await super().look(key, read)

    async def _either(self, key: str, read: Read) -> Entry | None:
        try:
            values = await self.cache.peek([key, self._before + key.removeprefix(self.cache.prefix)])
        except CacheUnavailable:
            return None
        entries = [entry for value in values if value is not None and (entry := read(value)) is not None]
        return max(entries, key=lambda entry: entry.version, default=None)


class FollowingReads:
    """What `readmodel.reads.Reads` promises, whichever generation is read."""

    def __init__(self, first: Shown, engine: AsyncEngine, make: Callable[[Shown, Shown | None], tuple[Reads, Tiers]]) -> None:
        """`engine`: one connection of its own. `make`: reads of a generation; the other one is that of before."""
        self._shown, self._engine, self._make = first, engine, make
        self._reads, self._tiers = make(first, None)
        self._left: set[asyncio.Task[None]] = set()

    async def comment(self, comment_id: str, hold: Hold = NOTHING_HELD) -> Answer[CommentView]:
        """See Reads."""
        return await self._read(lambda reads: reads.comment(comment_id, hold))

    async def picture(self, picture_id: str, hold: Hold = NOTHING_HELD) -> Answer[PictureView]:
        """See Reads."""
        return await self._read(lambda reads: reads.picture(picture_id, hold))

    async def comments(self, picture_id: str, page: Page, hold: Hold = NOTHING_HELD) -> Answer[CommentPage]:
        """See Reads."""
        return await self._read(lambda reads: reads.comments(picture_id, page, hold))

    async def projected(self, stream: StreamId, version: int) -> dict[str, bool]:
        """See Reads."""
        return await self._read(lambda reads: reads.projected(stream, version))

    async def check(self) -> None:
        """See Reads."""
        await self._reads.check()

    async def _read(self, ask: Callable[[Reads], Awaitable[_T]]) -> _T:
        """A read whose generation is dropped under it is asked again of the one that is read by then."""
        reads = self._reads
        try:
            return await ask(reads)
        except NoSchema as wrong:
            await self._look_now()
            if self._reads is reads:
                raise ReadsUnavailable(str(wrong)) from wrong
            return await ask(self._reads)

    async def _look_now(self) -> None:
        try:
            await self.look()
        except (DatabaseUnavailable, NoSchema) as wrong:
            raise ReadsUnavailable(type(wrong).__name__) from wrong

    async def look(self) -> None:
        """Go over to what is read now. Raises DatabaseUnavailable, NoSchema."""
        now = await shown(self._engine)
        if now == self._shown:
            return
        _LOG.info("another generation is read", action="follow", generation=now.generation, cache=now.cache)
        before, left = self._shown, self._tiers
        self._shown = now
        self._reads, self._tiers = self._make(now, before)
        task = asyncio.create_task(_leave(left))
        self._left.add(task)
        task.add_done_callback(self._left.discard)

    async def run(self) -> None:
        """Until cancelled. PostgreSQL away: nothing is switched meanwhile, and readers find out for themselves."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except (DatabaseUnavailable, NoSchema) as wrong:
                _LOG.warning("not known which generation is read", action="follow", error=type(wrong).__name__)

    async def close(self) -> None:
        """End what is under way."""
        for task in list(self._left):
            await ended(task)
        await self._tiers.close()


async def _leave(tiers: Tiers) -> None:
    try:
        await asyncio.sleep(LEAVE_SECONDS)
    finally:
        await tiers.close()


@asynccontextmanager
async def following(reads: FollowingReads) -> AsyncIterator[FollowingReads]:
    """Follow while inside."""
    task = asyncio.create_task(reads.run())
    try:
        yield reads
    finally:
        await ended(task)
        await reads.close()
