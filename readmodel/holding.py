"""Holding a read to its tokens: wait until PostgreSQL shows all of them, or say why it will not.

Positions are read first and rows afterwards, each in a statement of its own. That is enough: a position and the rows it speaks
of are committed together and positions only grow, so rows read after a position are at least as new as that position.
"""

import asyncio
from asyncio import get_running_loop
from collections.abc import Mapping
from typing import Final

from events.ids import StreamId, Version
from events.store import EventStore
from readmodel.errors import NotYet, ReadsUnavailable, StreamParked, TokenBeyondStore
from readmodel.heads import Heads
from readmodel.holds import Hold
from readmodel.notices import Notices
from readmodel.progress import Progress, Reached
from readmodel.tiers import Tiers
from runtime.errors import Retryable

STORE_SECONDS: Final = 3.0


class Holding:
    """Waits on behalf of one process's reads."""

    def __init__(self, tiers: Tiers, progress: Progress, notices: Notices, stored: tuple[EventStore, Heads]) -> None:
        self._tiers, self._progress, self._notices = tiers, progress, notices
        self._store, self._heads = stored

    async def reach(self, hold: Hold) -> None:
        """Returns when PostgreSQL shows every token; raises TokenBeyondStore, StreamParked, NotYet or ReadsUnavailable."""
        wanted: dict[StreamId, Version] = {}
        for token in hold.after:
            wanted[token.stream] = max(token.version, wanted.get(token.stream, Version(0)))
        deadline = get_running_loop().time() + hold.wait
        asked_store = False
        while wanted:
            with self._notices.expecting(wanted) as awaited:
                wanted = await self._behind(wanted)
                if wanted and not asked_store:
                    await self._check_store(wanted)
                    asked_store = True
                left = deadline - get_running_loop().time()
                if wanted and left <= 0:
                    raise NotYet(", ".join(f"{stream}@{version}" for stream, version in list(wanted.items())[:3]))
                if wanted:
                    await awaited.wait_for(wanted, left)

    async def progress(self, stream: StreamId) -> Reached:
        """Where everything is on one stream."""
        found: dict[StreamId, Reached] = await self._tiers.ask(lambda connection: self._progress.reached(connection, [stream]))
        return found[stream]

    async def _behind(self, wanted: Mapping[StreamId, Version]) -> dict[StreamId, Version]:
        found: dict[StreamId, Reached] = await self._tiers.ask(lambda connection: self._progress.reached(connection, list(wanted)))
        behind = {stream: version for stream, version in wanted.items() if not found[stream].shows(version)}
        stuck = next((stream for stream in behind if found[stream].stuck), None)
        if stuck is not None:
            raise StreamParked(stuck)
        return behind

    async def _check_store(self, wanted: Mapping[StreamId, Version]) -> None:
        """One consistent read a stream of which so much is not known: a token that promises more than is stored will never come true."""
        unknown = [stream for stream, version in wanted.items() if not self._heads.reach(stream, version)]
        try:
            async with asyncio.timeout(STORE_SECONDS):
                heads = await asyncio.gather(*map(self._store.last_version, unknown))
        except (Retryable, TimeoutError) as wrong:
            raise ReadsUnavailable(type(wrong).__name__) from wrong
        for stream, head in zip(unknown, heads, strict=True):
            self._heads.note(stream, head)
            if wanted[stream] > head:
                raise TokenBeyondStore(stream)
