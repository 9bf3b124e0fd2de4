"""Which shards this process reads: finds them, takes their leases, keeps one reader on each."""

import asyncio
import random
from collections.abc import Callable
from typing import Final

from runtime import logs
from runtime.errors import Retryable
from runtime.lifecycle import backoff, pause
from workers.lease import LeaseLost, Leases
from workers.pacing import Pace
from workers.shard_reader import ShardReader, Sink
from workers.shards import FREE, Progress, Row, Shard, readable
from workers.stream import EventStream
from workers.walks import Wish

LOOK_SECONDS: Final = 5.0
_LOG: Final = logs.get("shards")


class Fleet:
    """One reader of the stream, spread over any number of processes; `run` is this process's part in it.

    Fleets whose leases begin with different prefixes read the stream independently of each other.
    """

    def __init__(self, stream: EventStream, leases: Leases, sink: Sink, pace: Callable[[], Pace], walks: Wish | None = None) -> None:
        self._stream, self._leases = stream, leases
        self._reader = ShardReader(stream.streams, leases, sink, pace, walks)
        self._watched: dict[str, tuple[int, int, float]] = {}
        self._progress: dict[str, Progress] = {}
        self._reading: set[str] = set()
        self._changed = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; leases in hand are handed back."""
        failures = 0
        async with asyncio.TaskGroup() as readers:
            while not stop.is_set():
                try:
                    await self._look(readers, stop)
                    failures = 0
                except Retryable as wrong:
                    failures += 1
                    _LOG.warning("shards not found", action="plan_shards", error=str(wrong), failures=failures)
                    await pause(stop, backoff(failures, random.random()))  # noqa: S311 - jitter
                await self._until_due(stop)

    async def _until_due(self, stop: asyncio.Event) -> None:
        """Look again when a shard ended, when a watched lease may have run out, or after a while."""
        self._changed.clear()
        waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._changed.wait())]
        try:
            seconds = LOOK_SECONDS if self._reading else self._leases.seconds / 4
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _look(self, readers: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        arn = await self._stream.arn(age=60)
        shards = await self._stream.shards(arn)
        for shard in readable(shards, self._progress):
            if shard.id not in self._reading:
                await self._start(arn, shard, readers, stop)

    async def _start(self, arn: str, shard: Shard, readers: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        key = self._leases.key(arn, shard.id)
        row = (await self._leases.read([key]))[key]
        self._progress[shard.id] = row.progress
        if row.progress.ended or not self._may_take(row):
            self._changed.set() if row.progress.ended else None
            return
        try:
            row = await self._leases.take(row)
        except LeaseLost:
            return
        _LOG.info("lease taken", action="take_lease", shard=shard.id, epoch=row.epoch)
        self._reading.add(shard.id)

        async def read() -> None:
            try:
                self._progress[shard.id] = await self._reader.read(arn, shard, row, stop)
            except Retryable as wrong:
                _LOG.warning("shard given up for now", action="read_shard", shard=shard.id, error=str(wrong))
            finally:
                self._reading.discard(shard.id)
                self._changed.set()

        readers.create_task(read())

    def _may_take(self, row: Row) -> bool:
        if row.owner in (FREE, self._leases.owner):
            return True
        now = self._leases.clock()
        epoch, counter, since = self._watched.get(row.key, (-1, -1, now))
        if (epoch, counter) != (row.epoch, row.counter):
            self._watched[row.key] = (row.epoch, row.counter, now)
            return False
        return now - since >= (row.seconds or self._leases.seconds)
