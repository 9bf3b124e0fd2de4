"""DynamoDB Streams to SNS: read a shard under its lease, publish its commits by partition, then move the checkpoint.

At least once: a page published but not checkpointed is published again by whoever reads next, and the projectors' verdicts absorb it.
"""

import asyncio
import random
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from runtime import logs
from runtime.aws import AwsRefused, aws_errors
from runtime.errors import Retryable
from runtime.lifecycle import backoff, pause
from runtime.metrics import COMMITS, DISCARDS
from workers.lease import LeaseLost, Leases, Row
from workers.packing import Page, Parcel, plan, read_page
from workers.shards import Progress, Shard
from workers.waking import Waker

if TYPE_CHECKING:
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient
    from types_aiobotocore_sns import SNSClient

SHORT_SECONDS: Final = 0.05
LONG_SECONDS: Final = 0.2
MANY: Final = 50
"""From one read to the next while commits come: what gathers meanwhile travels together. Short after a few commits, long after MANY:
then a commit waits a tenth of a second on average, and a page, which costs six calls in all, carries that many more."""
IDLE_SECONDS: Final = 1.0
WARM_SECONDS: Final = 0.5
"""For so long after a wake-up call an empty page means "not there yet", not "nothing to do"."""
_LOG: Final = logs.get("relay")
_TRIMMED: Final = "TrimmedDataAccessException"
_EXPIRED: Final = frozenset({"ExpiredIteratorException", _TRIMMED})


class Topic:
    """The SNS FIFO topic: publishes a call's parcels until SNS took every one."""

    def __init__(self, sns: "SNSClient", arn: str) -> None:
        self._sns, self._arn = sns, arn

    async def publish(self, parcels: list[Parcel], row: Row) -> None:
        """Retries what failed, in place, for as long as the lease is surely held. Raises LeaseLost."""
        attempt = 0
        while parcels:
            if not row.held():
                raise LeaseLost(row.key)
            try:
                parcels = await self._publish(parcels)
            except Retryable as wrong:
                _LOG.warning("publish failed", action="publish", error=str(wrong), parcels=len(parcels))
            if parcels:
                attempt += 1
                await asyncio.sleep(backoff(attempt, random.random()))  # noqa: S311 - jitter

    async def _publish(self, parcels: list[Parcel]) -> list[Parcel]:
        entries: Any = [
            {
                "Id": str(number),
                "Message": parcel.body,
                "MessageGroupId": f"p{parcel.partition}",
                "MessageDeduplicationId": parcel.once,
            }
            for number, parcel in enumerate(parcels)
        ]
        with aws_errors():
            answer = await self._sns.publish_batch(TopicArn=self._arn, PublishBatchRequestEntries=entries)
        failed = {int(entry["Id"]) for entry in answer.get("Failed", [])}
        return [parcel for number, parcel in enumerate(parcels) if number in failed]


class ShardReader:
    """Reads one shard under one lease, from its checkpoint to `stop`, its end, or the lease's loss."""

    def __init__(self, streams: "DynamoDBStreamsClient", arn: str, topic: Topic, leases: Leases) -> None:
        self._streams, self._arn, self._topic = streams, arn, topic
        self._leases = leases

    async def read(self, shard: Shard, row: Row, waker: Waker, stop: asyncio.Event) -> Progress:
        """How far it got; the lease is handed back with it."""
        reading = _Reading(shard, row, row.progress, monotonic() + self._leases.seconds / 3)
        try:
            await self._read(reading, waker, stop)
        except LeaseLost:
            _LOG.warning("lease lost", action="lose_lease", shard=shard.id, epoch=row.epoch)
            return reading.progress
        await self._leases.release(reading.row, reading.progress)
        return reading.progress

    async def _read(self, reading: "_Reading", waker: Waker, stop: asyncio.Event) -> None:
        iterator = await self._iterator(reading)
        while not stop.is_set():
            asked = monotonic()
            try:
                with aws_errors():
                    answer = await self._streams.get_records(ShardIterator=iterator, Limit=1000)
            except (Retryable, AwsRefused) as wrong:
                iterator = await self._recover(wrong, reading, stop)
                continue
            records = answer["Records"]
            if records:
                await self._relay(read_page(records), reading)
                reading.progress = Progress(records[-1]["dynamodb"]["SequenceNumber"])
            next_iterator: str | None = answer.get("NextShardIterator")
            if next_iterator is None:
                reading.progress = Progress(reading.progress.sequence, ended=True)
                return
            iterator = next_iterator
            await self._renew_when_due(reading)
            await _rest(waker, stop, asked, len(records))

    async def _iterator(self, reading: "_Reading") -> str:
        """After the checkpoint, or from the oldest record left when that one is gone."""
        oldest = {"ShardIteratorType": "TRIM_HORIZON"}
        if not reading.progress.sequence:
            return await self._iterator_at(reading, oldest)
        try:
            after = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": reading.progress.sequence}
            return await self._iterator_at(reading, after)
        except AwsRefused as wrong:
            if wrong.code != _TRIMMED:
                raise
        # Records are gone from the stream; the projectors see the gap and read the store.
        DISCARDS.labels("relay", "trimmed").inc()
        _LOG.error("records lost to the stream's age", action="trim", shard=reading.shard.id)
        return await self._iterator_at(reading, oldest)

    async def _iterator_at(self, reading: "_Reading", where: dict[str, Any]) -> str:
        with aws_errors():
            answer = await self._streams.get_shard_iterator(StreamArn=self._arn, ShardId=reading.shard.id, **where)
        return answer["ShardIterator"]

    async def _recover(self, wrong: Exception, reading: "_Reading", stop: asyncio.Event) -> str:
        """A new iterator, after a pause. Raises what no new iterator can mend."""
        code = wrong.code if isinstance(wrong, AwsRefused) else ""
        if isinstance(wrong, AwsRefused) and code not in _EXPIRED:
            raise wrong
        _LOG.warning("shard read again", action="recover", shard=reading.shard.id, error=str(wrong))
        reading.failures += 1
        await pause(stop, backoff(reading.failures, random.random()))  # noqa: S311 - jitter
        await self._renew_when_due(reading)
        return await self._iterator(reading)

    async def _relay(self, page: Page, reading: "_Reading") -> None:
        reading.failures = 0
        for calls in plan(page):
            publishing = (self._topic.publish(parcels, reading.row) for parcels in calls)
            for failed in await asyncio.gather(*publishing, return_exceptions=True):
                if failed is not None:
                    raise failed
            await self._renew_when_due(reading)
        COMMITS.labels("relay", "published").inc(len(page.commits) + len(page.stubs))
        if page.foreign:
            DISCARDS.labels("relay", "foreign").inc(page.foreign)
            _LOG.error("records that are not appends", action="tamper", shard=reading.shard.id, records=page.foreign)
        _LOG.info("page relayed", action="relay_page", shard=reading.shard.id, commits=len(page.commits), stubs=len(page.stubs))

    async def _renew_when_due(self, reading: "_Reading") -> None:
        if monotonic() >= reading.renew_at:
            reading.renew_at = monotonic() + self._leases.seconds / 3
            reading.row = await self._leases.renew(reading.row, reading.progress)


class _Reading:
    """What changes while a shard is read."""

    def __init__(self, shard: Shard, row: Row, progress: Progress, renew_at: float) -> None:
        self.shard, self.row, self.progress, self.renew_at = shard, row, progress, renew_at
        self.failures = 0


async def _rest(waker: Waker, stop: asyncio.Event, asked: float, records: int) -> None:
    """Busy: a short gathering pause. Just woken: look again soon. Idle: until somebody calls, at most a second."""
    now = monotonic()
    if records or now - waker.last_called < WARM_SECONDS:
        gather = SHORT_SECONDS + (LONG_SECONDS - SHORT_SECONDS) * min(1.0, records / MANY)
        await pause(stop, max(0.0, asked + gather - now))
    else:
        await waker.wait(stop, IDLE_SECONDS)
