"""Commits published once more, to all projectors, as stubs: whoever has passed one drops it, whoever has not reads the store.

Under fresh ids: under its first one SNS would take a message for a duplicate for five minutes, and swallow it.
"""

import asyncio
import random
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from events.parcel import Stub
from runtime.aws import aws_errors
from runtime.errors import Retryable
from runtime.lifecycle import backoff
from workers.packing import Page, Parcel, plan

if TYPE_CHECKING:
    from types_aiobotocore_sns import SNSClient

STUBS_A_CALL: Final = 500
"""In up to eight parcels: each stub is a read of the store for a projector that lacks it, and a message stays in hand meanwhile."""
STUBS_A_SECOND: Final = 1_000
ATTEMPTS: Final = 4


class MayNot(Retryable):
    """Whoever publishes again was to stop before all was sent."""


class Republisher:
    """To the SNS topic, at most so many commits a second."""

    def __init__(self, sns: "SNSClient", topic: str, a_second: float = STUBS_A_SECOND) -> None:
        self._sns, self._topic, self._a_second = sns, topic, a_second

    async def publish(self, stubs: Sequence[Stub], may: Callable[[], bool] = lambda: True) -> None:
        """Returns once SNS has all of them. Raises Retryable when it perhaps has not. `may` is asked before each call."""
        for start in range(0, len(stubs), STUBS_A_CALL):
            part = stubs[start : start + STUBS_A_CALL]
            for calls in plan(Page([], list(part), 0)):
                for call in calls:
                    await self._call([(parcel, secrets.token_hex(16)) for parcel in call], may)
            await asyncio.sleep(len(part) / self._a_second)

    async def _call(self, parcels: list[tuple[Parcel, str]], may: Callable[[], bool]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            if not may():
                raise MayNot("not ours to publish any more")
            try:
                parcels = await self._failed(parcels)
            except Retryable:
                if attempt == ATTEMPTS:
                    raise
            if not parcels:
                return
            await asyncio.sleep(backoff(attempt, random.random()))  # noqa: S311 - jitter
        raise MayNot(f"SNS would not take {len(parcels)} messages")

    async def _failed(self, parcels: list[tuple[Parcel, str]]) -> list[tuple[Parcel, str]]:
        """One call; what SNS did not take of it."""
        entries: Any = [
            {"Id": str(number), "Message": parcel.body, "MessageGroupId": f"p{parcel.partition}", "MessageDeduplicationId": once}
            for number, (parcel, once) in enumerate(parcels)
        ]
        with aws_errors():
            answer = await self._sns.publish_batch(TopicArn=self._topic, PublishBatchRequestEntries=entries)
        failed = {int(entry["Id"]) for entry in answer.get("Failed", [])}
        return [parcel for number, parcel in enumerate(parcels) if number in failed]
