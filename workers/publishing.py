"""What the relay does with a page of records: its commits, packed by partition, to the SNS FIFO topic.

At least once: a page published but not checkpointed is published again by whoever reads next, and the projectors' verdicts absorb it.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from runtime import logs
from runtime.aws import aws_errors
from runtime.errors import Retryable
from runtime.lifecycle import backoff, pause
from runtime.metrics import COMMITS, DISCARDS
from workers.keeping import Held
from workers.lease import LeaseLost
from workers.packing import Parcel, plan, read_page, sequence

if TYPE_CHECKING:
    from types_aiobotocore_sns import SNSClient

_LOG: Final = logs.get("relay")


class NotPublished(Retryable):
    """SNS did not take it, and it is time to leave."""


class Topic:
    """The SNS FIFO topic: publishes a call's parcels until SNS took every one."""

    def __init__(self, sns: "SNSClient", arn: str) -> None:
        self._sns, self._arn = sns, arn

    async def publish(self, parcels: list[Parcel], lease: Held) -> None:
        """Retries what failed, in place, for as long as the lease is surely held. Raises LeaseLost, NotPublished."""
        attempt = 0
        while parcels:
            if not lease.held():
                raise LeaseLost(lease.key)
            try:
                with aws_errors():
                    async with asyncio.timeout(lease.left):  # no call of ours goes on into another's time
                        parcels = await self._publish(parcels)
            except Retryable as wrong:
                _LOG.warning("publish failed", action="publish", error=str(wrong), parcels=len(parcels))
            if parcels:
                attempt += 1
                if await pause(lease.leaving, backoff(attempt, random.random())):  # noqa: S311 - jitter
                    raise NotPublished(lease.key)

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
        answer = await self._sns.publish_batch(TopicArn=self._arn, PublishBatchRequestEntries=entries)
        failed = {int(entry["Id"]) for entry in answer.get("Failed", [])}
        return [parcel for number, parcel in enumerate(parcels) if number in failed]


class Publisher:
    """The relay's sink."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic

    async def take(self, records: Sequence[Mapping[str, Any]], lease: Held) -> str:
        """Returns once SNS has every commit of the page. Raises LeaseLost."""
        if not records:
            return ""
        page = read_page(records)
        for calls in plan(page):
            publishing = (self._topic.publish(parcels, lease) for parcels in calls)
            for failed in await asyncio.gather(*publishing, return_exceptions=True):
                if failed is not None:
                    raise failed
        COMMITS.labels("relay", "published").inc(len(page.commits) + len(page.stubs))
        if page.foreign:
            DISCARDS.labels("relay", "foreign").inc(page.foreign)
            _LOG.error("records that are not appends", action="tamper", lease=lease.key, records=page.foreign)
        _LOG.info("page relayed", action="relay_page", lease=lease.key, commits=len(page.commits), stubs=len(page.stubs))
        return sequence(records[-1])
