"""Writes snapshots behind the appends: never in their way, bounded, best effort. A lost one costs a longer read, nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from events.domain import Registry
from events.history import History
from events.snapshots import Snapshot, Unusable, is_due, take
from events.store import EventStore
from runtime import logs
from runtime.errors import HeadraceError
from runtime.metrics import SNAPSHOTS

MOST_WAITING: Final = 16
_LOG: Final = logs.get("snapshotting")


class SnapshotWriter:
    """`offer` after a decision; `run` beside the loop."""

    def __init__(self, store: EventStore, registry: Registry) -> None:
        self._store, self._registry = store, registry
        self._waiting: asyncio.Queue[tuple[Snapshot, Any]] = asyncio.Queue(MOST_WAITING)

    def offer(self, history: History) -> None:
        """Of a history that stands at a confirmed commit and was read with the window. Nothing but a comparison for short streams."""
        if not is_due(history):
            return
        instead_of, history.wrong_snapshot = history.wrong_snapshot, None
        history.snapshot, history.grown = history.version, 0  # also when it fails: the next try is at the next mark
        try:
            snapshot = take(history, self._registry)
            if snapshot is not None:
                self._waiting.put_nowait((snapshot, instead_of))
        except Unusable as why:
            SNAPSHOTS.labels(why.reason).inc()
        except asyncio.QueueFull:
            SNAPSHOTS.labels("lost").inc()

    async def run(self) -> None:
        """Until cancelled; one at a time."""
        while True:
            await self._write(*await self._waiting.get())
            self._waiting.task_done()

    async def written(self) -> None:
        """Wait until nothing waits."""
        await self._waiting.join()

    async def _write(self, snapshot: Snapshot, instead_of: Any) -> None:
        try:
            kept = await self._store.keep(snapshot, instead_of)
            SNAPSHOTS.labels("written" if kept else "outrun").inc()
        except Unusable as why:
            SNAPSHOTS.labels(why.reason).inc()
        except HeadraceError as wrong:
            SNAPSHOTS.labels("lost").inc()
            _LOG.warning("snapshot lost", action="snapshot", stream=snapshot.stream, error=str(wrong))


@asynccontextmanager
async def snapshots_written(store: EventStore, registry: Registry) -> AsyncIterator[SnapshotWriter]:
    """What still waits when this is left is not written."""
    writer = SnapshotWriter(store, registry)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(writer.run())
        try:
            yield writer
        finally:
            running.cancel()
