"""The scan of the event store into a generation that nobody feeds yet: read, folded and written side by side, in bounded memory."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from events.envelope import Commit
from events.ids import StreamId
from events.scanning import Budget, Pages
from readmodel.errors import DatabaseUnavailable, UnstorableData
from readmodel.projecting import Projecting
from readmodel.rebuilding.assembling import Assembled, Assembly
from readmodel.rebuilding.folding import Batch, Folder
from readmodel.rebuilding.loading import Loader
from runtime.lifecycle import backoff

BATCH_EVENTS: Final = 5_000
ODD_AT_ONCE: Final = 500
"""Streams that are read by themselves, before the scan goes on."""
STREAMS_A_CALL: Final = 200
ATTEMPTS: Final = 6
"""At writing a batch: some ten seconds."""
LOADERS: Final = 3
"""Batches written at once."""


@dataclass(slots=True)
class Built:
    """How far it is."""

    commits: int = 0
    """Read."""
    streams: int = 0
    events: int = 0
    """Loaded."""
    odd: int = 0
    """Streams that went the projector's own way: something of them came out of its place, or cannot be projected or stored."""
    units: float = 0.0


class _Turns:
    """Several load at once, or one applies in the projector's way: loading takes none of the locks that keep a stream from both."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(LOADERS)
        self._first = asyncio.Lock()

    @asynccontextmanager
    async def loading(self) -> AsyncIterator[None]:
        async with self._first:
            await self._free.acquire()
        try:
            yield
        finally:
            self._free.release()

    @asynccontextmanager
    async def applying(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            await held.enter_async_context(self._first)
            for _ in range(LOADERS):
                await held.enter_async_context(self._free)
            yield


@dataclass(slots=True)
class _Work:
    batch: Batch = field(default_factory=Batch)
    odd: set[StreamId] = field(default_factory=set)


class Building:
    """Of one generation. `projecting` applies to it alone."""

    def __init__(self, folder: Folder, loader: Loader, projecting: Projecting, budget: Budget) -> None:
        self._folder, self._loader, self._projecting, self._budget = folder, loader, projecting, budget
        self._turns = _Turns()
        self.built = Built()

    async def scan(self, pages: Pages, segments: int) -> None:
        """Everything the store holds when this begins is in the generation when it returns, or parked there. Raises Retryable, Fatal."""
        await self._loader.without_indexes()
        async with asyncio.TaskGroup() as tasks:
            for segment in range(segments):
                tasks.create_task(self._segment(pages, segment, segments))
        await self._loader.with_indexes()
        await self._loader.analyze()

    async def _segment(self, pages: Pages, segment: int, segments: int) -> None:
        assembly, work = Assembly(), _Work()
        async for page in pages.pages(segment, segments):
            self.built.commits += len(page.commits)
            wait = self._budget.pay(page.units)
            self.built.units = self._budget.spent
            await self._take(assembly.take(page.commits), work)
            if wait > 0:
                await asyncio.sleep(wait)
        await self._take(assembly.end(), work)
        await self._flush(work)
        await self._oddly(work)

    async def _take(self, assembled: Assembled, work: _Work) -> None:
        work.odd |= assembled.odd
        for commits in assembled.whole:
            odd = self._folder.add(work.batch, commits)
            if odd is not None:
                work.odd.add(odd)
            if work.batch.events >= BATCH_EVENTS:
                await self._flush(work)
        if len(work.odd) >= ODD_AT_ONCE:
            await self._flush(work)
            await self._oddly(work)

    async def _flush(self, work: _Work) -> None:
        batch, work.batch = work.batch, Batch()
        if not batch.streams:
            return
        try:
            await self._write(batch)
        except UnstorableData:
            # One of them PostgreSQL does not take, or it is there already: the projector's own way finds out which.
            async with self._turns.applying():
                for part in _parts(batch.commits, STREAMS_A_CALL):
                    await self._projecting.project(part)
            self.built.odd += batch.streams
        self.built.streams += batch.streams
        self.built.events += batch.events

    async def _write(self, batch: Batch) -> None:
        """PostgreSQL away for a moment is no reason to scan again. What was committed all the same says that it is there already."""
        for attempt in range(1, ATTEMPTS):
            try:
                async with self._turns.loading():
                    await self._loader.write(batch)
            except DatabaseUnavailable:
                await asyncio.sleep(backoff(attempt, random.random(), first=0.2, most=5.0))  # noqa: S311 - jitter
            else:
                return
        async with self._turns.loading():
            await self._loader.write(batch)

    async def _oddly(self, work: _Work) -> None:
        streams, work.odd = sorted(work.odd), set()
        for start in range(0, len(streams), STREAMS_A_CALL):
            async with self._turns.applying():
                applied = await self._projecting.catch_up(streams[start : start + STREAMS_A_CALL])
            self.built.events += sum(applied.advanced.values())
        self.built.odd += len(streams)
        self.built.streams += len(streams)


def _parts(commits: Sequence[Commit], most: int) -> Iterator[list[Commit]]:
    """So many streams each; a stream's commits stay together."""
    part: list[Commit] = []
    streams: set[StreamId] = set()
    for commit in commits:
        if commit.stream not in streams and len(streams) == most:
            yield part
            part, streams = [], set()
        part.append(commit)
        streams.add(commit.stream)
    if part:
        yield part
