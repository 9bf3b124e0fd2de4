"""One shard of DynamoDB Streams under its lease: every page to a sink, and the checkpoint after it."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from time import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from runtime import logs
from runtime.aws import AwsRefused, aws_errors
from runtime.errors import Retryable
from runtime.lifecycle import backoff, pause
from runtime.metrics import DISCARDS, STREAM_LAG
from workers.keeping import Held
from workers.lease import LeaseLost, Leases
from workers.pacing import Pace
from workers.packing import sequence
from workers.shards import Progress, Row, Shard
from workers.walks import Wish

if TYPE_CHECKING:
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient

PAGE: Final = 1000
GRACE_SECONDS: Final = 5.0
"""For what a sink has in hand when its process stops or its lease is asked for."""
_LOG: Final = logs.get("shards")
_TRIMMED: Final = "TrimmedDataAccessException"
_EXPIRED: Final = "ExpiredIteratorException"
_GONE: Final = "ResourceNotFoundException"


class ShardGone(Retryable):
    """The stream does not know the shard, or itself, any more."""


class Sink(Protocol):
    """What is done with the records of a shard, in the order in which the stream gives them. One object for all shards of a process."""

    async def take(self, records: Sequence[Mapping[str, Any]], lease: Held) -> str:
        """Do it, and return how far the checkpoint may move: a sequence number of this or an earlier page; "": nowhere yet.

        It may take as long as it likes, the lease is renewed meanwhile; what must not be done by two at once it does only while
        `lease.held()`. It is called for empty pages too, and again and again at a shard's end until all is let go. Records beyond
        the checkpoint come again: after a crash, to another process, or to this one when an iterator had to be renewed.
        On a stop or a hand-over `lease.leaving` is set: return soon, after five seconds it is cancelled and the lease left to run
        out. Raises LeaseLost; another Retryable is tried again with the same page.
        """
        ...


class ShardReader:
    """Reads a shard from its checkpoint to its end, to a stop, or to the loss of its lease."""

    def __init__(
        self, streams: "DynamoDBStreamsClient", leases: Leases, sink: Sink, pace: Callable[[], Pace], walks: Wish | None = None
    ) -> None:
        self._streams, self._leases, self._sink, self._pace, self._walks = streams, leases, sink, pace, walks
        self._lags: dict[str, float] = {}

    async def read(
        self, arn: str, shard: Shard, row: Row, stop: asyncio.Event, grants: Callable[[str], bool] = lambda _: False
    ) -> Progress:
        """How far it got; the lease is handed back with it. `grants` decides who gets the lease that asks for it.

        Raises LeaseLost, which is no error of ours; another Retryable, after which the lease is left as it is; AwsRefused.
        """
        lease = Held(self._leases, row, grants)
        try:
            if await self._under(lease, arn, shard, stop):
                await lease.hand_back()
        finally:
            self._tell_lag(shard, None)
        return lease.progress

    async def _under(self, lease: Held, arn: str, shard: Shard, stop: asyncio.Event) -> bool:
        """Read and renew side by side; what is under way when the lease is lost is cut off.

        False: it was cut off by our own leaving, and may go on in the network, so that the lease must run out by itself.
        """
        keeping = asyncio.ensure_future(lease.keep())
        reading = asyncio.ensure_future(self._read(_Reading(arn, shard, lease, self._pace())))
        ending = [asyncio.ensure_future(each.wait()) for each in (stop, lease.leaving)]
        try:
            await asyncio.wait([keeping, reading, *ending], return_when=asyncio.FIRST_COMPLETED)
            lease.leaving.set()
            if not keeping.done():
                await asyncio.wait([keeping, reading], timeout=GRACE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lease.end()
            for each in (reading, *ending):
                each.cancel()
            await asyncio.gather(keeping, reading, *ending, return_exceptions=True)
        for each in (reading, keeping):
            if not each.cancelled():
                each.result()
        return not reading.cancelled()

    async def _read(self, reading: "_Reading") -> None:
        lease = reading.lease
        iterator = await self._begin(reading)
        while iterator and not lease.leaving.is_set():
            asked = self._leases.clock()
            try:
                with aws_errors():
                    answer = await self._streams.get_records(ShardIterator=iterator, Limit=PAGE)
            except (Retryable, AwsRefused) as wrong:
                iterator = await self._recover(wrong, reading)
                continue
            reading.failures = 0
            records: Sequence[Mapping[str, Any]] = answer["Records"]
            await self._take(records, reading)
            self._tell_lag(reading.shard, records)
            if answer.get("NextShardIterator") is None:
                await self._end(reading)
                return
            iterator = answer["NextShardIterator"]
            await reading.pace.rest(lease.leaving, asked, len(records))

    async def _take(self, records: Sequence[Mapping[str, Any]], reading: "_Reading") -> None:
        lease = reading.lease
        if records:
            reading.last = sequence(records[-1])
        while True:
            try:
                done = await self._sink.take(records, lease)
                break
            except LeaseLost:
                raise
            except Retryable as wrong:
                reading.failures += 1
                _LOG.warning("page tried again", action="take_page", shard=reading.shard.id, error=str(wrong))
                if await pause(lease.leaving, backoff(reading.failures, random.random())):  # noqa: S311 - jitter
                    return
        if done:
            lease.progress = Progress(done)

    def _tell_lag(self, shard: Shard, records: Sequence[Mapping[str, Any]] | None) -> None:
        """How old the newest record taken was; none are left to take: 0; not read here any more: None."""
        if records is None:
            self._lags.pop(shard.id, None)
        else:
            created = records[-1]["dynamodb"].get("ApproximateCreationDateTime") if records else None
            self._lags[shard.id] = max(0.0, time() - created.timestamp()) if created else 0.0
        STREAM_LAG.labels(self._leases.prefix.rstrip("#")).set(max(self._lags.values(), default=0.0))

    async def _end(self, reading: "_Reading") -> None:
        """The shard is read to its end once the sink has let go of its last record."""
        lease = reading.lease
        while lease.progress.sequence != reading.last:
            if await pause(lease.leaving, self._leases.seconds / 10):
                return
            await self._take((), reading)
        lease.progress = Progress(lease.progress.sequence, ended=True)

    async def _begin(self, reading: "_Reading") -> str:
        """The first iterator; "" when the lease is given up before there is one."""
        try:
            return await self._iterator(reading)
        except (Retryable, AwsRefused) as wrong:
            return await self._recover(wrong, reading)

    async def _recover(self, wrong: Retryable | AwsRefused, reading: "_Reading") -> str:
        """A new iterator at the checkpoint, after a pause; "" when the lease is given up. Raises what no new iterator can mend."""
        error: Retryable | AwsRefused = wrong
        while True:
            code = error.code if isinstance(error, AwsRefused) else ""
            if code == _GONE:
                raise ShardGone(reading.shard.id) from error
            if isinstance(error, (LeaseLost, ShardGone)) or (code and code not in {_EXPIRED, _TRIMMED}):
                raise error
            _LOG.warning("shard read again", action="recover", shard=reading.shard.id, error=str(error))
            reading.failures += 1
            if await pause(reading.lease.leaving, backoff(reading.failures, random.random())):  # noqa: S311 - jitter
                return ""
            try:
                return await (self._oldest(reading) if code == _TRIMMED else self._iterator(reading))
            except (Retryable, AwsRefused) as again:
                error = again

    async def _iterator(self, reading: "_Reading") -> str:
        """After the checkpoint; at the oldest record when there is none yet."""
        sequence_number = reading.lease.progress.sequence
        if not sequence_number:
            return await self._iterator_at(reading, {"ShardIteratorType": "TRIM_HORIZON"})
        reading.last = sequence_number
        return await self._iterator_at(reading, {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": sequence_number})

    async def _oldest(self, reading: "_Reading") -> str:
        """Records are gone from the stream. The projectors see a gap where more of a stream comes; the full walk finds the rest."""
        DISCARDS.labels("relay", "trimmed").inc()
        _LOG.error("records lost to the stream's age", action="trim", shard=reading.shard.id)
        if self._walks is not None:
            await self._walks.want(f"records of shard {reading.shard.id} were trimmed before they were read")
        return await self._iterator_at(reading, {"ShardIteratorType": "TRIM_HORIZON"})

    async def _iterator_at(self, reading: "_Reading", where: dict[str, Any]) -> str:
        with aws_errors():
            answer = await self._streams.get_shard_iterator(StreamArn=reading.arn, ShardId=reading.shard.id, **where)
        return answer["ShardIterator"]


class _Reading:
    """What changes while a shard is read."""

    def __init__(self, arn: str, shard: Shard, lease: Held, pace: Pace) -> None:
        self.arn, self.shard, self.lease, self.pace = arn, shard, lease, pace
        self.last = lease.progress.sequence
        """Of the last record given to the sink."""
        self.failures = 0
