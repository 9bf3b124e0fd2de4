"""What the relay does with a page of records: its commits, packed by partition, to the SNS FIFO topic.

At least once: a page published but not checkpointed is published again by whoever reads next, and the projectors' verdicts absorb it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from runtime import logs
from runtime.aws import AwsRefused, aws_errors
from runtime.errors import Retryable
from runtime.lifecycle import backoff, pause
from runtime.metrics import COMMITS, DISCARDS
from workers.keeping import Held
from workers.lease import LeaseLost
from workers.packing import Parcel, plan, read_page, sequence, stubbed

if TYPE_CHECKING:
    from types_aiobotocore_sns import SNSClient

_CONTENT: Final = ("InvalidParameter", "BatchRequestTooLong")
_LOG: Final = logs.get("relay")


class NotPublished(Retryable):
    """SNS did not take it, and it is time to leave."""


class Topic:
    """The SNS FIFO topic."""

    def __init__(self, sns: "SNSClient", arn: str) -> None:
        self._sns, self._arn = sns, arn

    async def publish(self, parcels: list[Parcel], lease: Held) -> None:
        """One call's parcels, until SNS took every one; what failed is tried again in place, for as long as the lease is surely held.

        Raises LeaseLost, and NotPublished when the lease is to be given up first.
        """
        attempt = 0
        while parcels:
            if not lease.held():
                raise LeaseLost(lease.key)
            parcels = await self.send(parcels, lease.left)  # no call of ours goes on into another's time
            if parcels:
                attempt += 1
                if await pause(lease.leaving, backoff(attempt, random.random())):  # noqa: S311 - jitter
                    raise NotPublished(lease.key)

    async def send(self, parcels: list[Parcel], seconds: float) -> list[Parcel]:
        """Try once, for so many seconds: what is still to be published, under the same ids.

        A parcel that SNS refuses for what is in it comes back as stubs: one commit never blocks all that come after it. Raises
        AwsRefused when SNS refuses those too, or everything.
        """
        try:
            with aws_errors():
                async with asyncio.timeout(seconds):
                    return await self._send(parcels)
        except AwsRefused as wrong:
            if not wrong.code.startswith(_CONTENT):
                raise
            return self._without(parcels, wrong)
        except Retryable as wrong:
            _LOG.warning("publish failed", action="publish", error=str(wrong), parcels=len(parcels))
            return parcels

    async def _send(self, parcels: list[Parcel]) -> list[Parcel]:
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
        failed: dict[int, Any] = {int(entry["Id"]): entry for entry in answer.get("Failed", [])}
        refused = {number: AwsRefused(entry["Code"], entry.get("Message", "")) for number, entry in failed.items() if _of_content(entry)}
        left = {number: parcel for number, parcel in enumerate(parcels) if number in failed}
        return [self._without([left[n]], refused[n])[0] if n in refused else left[n] for n in left]

    def _without(self, parcels: list[Parcel], wrong: AwsRefused) -> list[Parcel]:
        """What to try instead."""
        stubs = [stubbed(parcel) for parcel in parcels]
        if stubs == parcels:
            raise wrong
        DISCARDS.labels("relay", "refused").inc(len(parcels))
        _LOG.error("parcels refused, their commits go as stubs", action="stub", error=str(wrong), parcels=len(parcels))
        return stubs


def _of_content(entry: Mapping[str, Any]) -> bool:
    return str(entry.get("Code", "")).startswith(_CONTENT)


class Publisher:
    """The relay's sink. `told`: called after a page, for whoever waits for what SNS delivers; it must not raise."""

    def __init__(self, topic: Topic, told: Callable[[], Awaitable[None]] | None = None) -> None:
        self._topic, self._told = topic, told

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
        if self._told is not None:
            await self._told()
        COMMITS.labels("relay", "published").inc(len(page.commits) + len(page.stubs))
        if page.foreign:
            DISCARDS.labels("relay", "foreign").inc(page.foreign)
            _LOG.error("records that are not appends", action="tamper", lease=lease.key, records=page.foreign)
        _LOG.info("page relayed", action="relay_page", lease=lease.key, commits=len(page.commits), stubs=len(page.stubs))
        return sequence(records[-1])
