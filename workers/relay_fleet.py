"""Which shards this process reads: finds them, takes their leases, keeps one reader on each."""

import asyncio
import random
from typing import TYPE_CHECKING, Final

from runtime import logs
from runtime.aws import aws_errors
from runtime.errors import Retryable
from runtime.lifecycle import backoff, pause
from workers.lease import Leases
from workers.shard_reader import ShardReader
from workers.shards import Progress, Shard, readable
from workers.waking import Waker

if TYPE_CHECKING:
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient

LOOK_SECONDS: Final = 5.0
_LOG: Final = logs.get("relay")


class Relay:
    """Runs until `stop`; `ready` is set as soon as the stream was found."""

    def __init__(self, streams: "DynamoDBStreamsClient", arn: str, leases: Leases, reader: ShardReader) -> None:
        self._streams, self._arn, self._leases, self._reader = streams, arn, leases, reader
        self._progress: dict[str, Progress] = {}
        self._reading: set[str] = set()
        self._changed = asyncio.Event()

    async def run(self, waker: Waker, stop: asyncio.Event) -> None:
        failures = 0
        async with asyncio.TaskGroup() as readers:
            while not stop.is_set():
                try:
                    for shard in readable(await self._shards(), self._progress):
                        await self._start(shard, readers, waker, stop)
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

    async def _start(self, shard: Shard, readers: asyncio.TaskGroup, waker: Waker, stop: asyncio.Event) -> None:
        if shard.id in self._reading:
            return
        row = await self._leases.acquire(self._key(shard))
        if row is None:
            return
        self._progress[shard.id] = row.progress
        if row.progress.ended:
            await self._leases.release(row, row.progress)
            self._changed.set()
            return
        _LOG.info("lease taken", action="take_lease", shard=shard.id, epoch=row.epoch)
        self._reading.add(shard.id)

        async def read() -> None:
            try:
                self._progress[shard.id] = await self._reader.read(shard, row, waker, stop)
            except Retryable as wrong:
                _LOG.warning("shard given up for now", action="read_shard", shard=shard.id, error=str(wrong))
            finally:
                self._reading.discard(shard.id)
                self._changed.set()

        readers.create_task(read())

    def _key(self, shard: Shard) -> str:
        """A stream that was switched off and on again has a new ARN, and so new leases."""
        return f"lease#{self._arn.rpartition('/')[2]}#{shard.id}"

    async def _shards(self) -> list[Shard]:
        """All of them; DescribeStream gives a hundred a page."""
        found: list[Shard] = []
        start: dict[str, str] = {}
        while True:
            with aws_errors():
                answer = await self._streams.describe_stream(StreamArn=self._arn, **start)  # type: ignore[arg-type]
            description = answer["StreamDescription"]
            found += [Shard(each["ShardId"], each.get("ParentShardId", "")) for each in description["Shards"]]
            last = description.get("LastEvaluatedShardId")
            if not last:
                return found
            start = {"ExclusiveStartShardId": last}
