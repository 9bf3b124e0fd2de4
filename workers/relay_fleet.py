"""A reader of the event store's stream, spread over any number of processes; follows the table when it gets another stream."""

import asyncio
import random
from collections.abc import Callable
from typing import Final

from runtime import logs
from runtime.errors import Retryable
from runtime.lifecycle import any_set, backoff, pause
from workers.lease import Leases
from workers.pacing import Pace
from workers.part import Part
from workers.pruning import Pruner
from workers.shard_reader import ShardReader, Sink
from workers.stream import EventStream
from workers.walks import Walks

STREAM_SECONDS: Final = 60.0
"""How old the answer may be to: which stream does the table write to?"""
DOUBT_SECONDS: Final = 5.0
"""The same while a stream that was read is gone, and no other is there."""
GONE_SECONDS: Final = 1.0
"""Before a stream that was gone is looked for again."""
_LOG: Final = logs.get("shards")


class Fleet:
    """`run` is this process's part in it. Fleets whose leases begin with different prefixes read the stream independently."""

    def __init__(self, stream: EventStream, leases: Leases, sink: Sink, pace: Callable[[], Pace], walks: Walks) -> None:
        self._stream, self._leases, self._walks = stream, leases, walks
        self._reader = ShardReader(stream.streams, leases, sink, pace, walks)
        self._pruner = Pruner(stream, leases)
        self._parts: dict[str, Part] = {}
        self._changed = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; leases in hand are handed back."""
        failures = 0
        async with asyncio.TaskGroup() as parts:
            while not stop.is_set():
                self._changed.clear()
                try:
                    await self._follow(parts, stop)
                    failures = 0
                    seconds = STREAM_SECONDS if any(part.current for part in self._parts.values()) else DOUBT_SECONDS
                except Retryable as wrong:
                    failures += 1
                    _LOG.warning("stream not found", action="find_stream", error=str(wrong), failures=failures)
                    seconds = backoff(failures, random.random())  # noqa: S311 - jitter
                await any_set(seconds, stop, self._changed)

    async def _follow(self, parts: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        """Read the table's stream; one that it wrote to before is read to its end beside it."""
        arn = await self._stream.arn(DOUBT_SECONDS)
        if arn not in self._parts:
            if await self._walks.note_stream(arn):
                _LOG.warning("stream seen for the first time", action="find_stream", stream=arn)
            part = self._parts[arn] = Part(arn, self._stream, self._leases, self._reader, self._walks)
            part.doubt = self._changed
            parts.create_task(self._run(part, arn, stop))
        for each, part in self._parts.items():
            part.current = each == arn
        await self._pruner.prune(arn)

    async def _run(self, part: Part, arn: str, stop: asyncio.Event) -> None:
        await part.run(stop)
        await pause(stop, GONE_SECONDS)
        del self._parts[arn]
        self._changed.set()
