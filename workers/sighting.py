"""What the reconciler looks at in AWS: how far the relay is, what waits in the projectors' queues, which commits the store has."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from events.parcel import Stub
from readmodel.control import AMQP
from runtime.aws import aws_errors
from runtime.stack import Stack
from workers.lease import Leases
from workers.packing import stub_of

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_sqs import SQSClient

_COUNTS: Final[Any] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
]


class Queues:
    """The projectors' queues by the projector's name. Raises Retryable."""

    def __init__(self, sqs: "SQSClient", urls: Mapping[str, str]) -> None:
        self._sqs, self._urls = sqs, urls

    async def depths(self, projectors: Collection[str]) -> dict[str, int]:
        """Messages that wait for them or are in their hands, as SQS counts: about."""
        names = sorted(projectors)
        counts = await asyncio.gather(*(self._count(self._urls[name]) for name in names))
        return dict(zip(names, counts, strict=True))

    async def _count(self, url: str) -> int:
        with aws_errors():
            answer = await self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=_COUNTS)
        return sum(int(value) for value in answer["Attributes"].values())


class StoredKeys:
    """The event store's commits without their events. Raises Retryable."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb, self._table = dynamodb, table

    async def scan(self, segment: int, segments: int) -> AsyncIterator[list[Stub]]:
        """Not consistent, at half the price: the newest commits are the trail's."""
        call: Any = {"TableName": self._table, "Segment": segment, "TotalSegments": segments}
        call["ProjectionExpression"] = "stream_id, first_version, last_version"
        while True:
            with aws_errors():
                page = await self._dynamodb.scan(**call)
            yield [each for each in map(stub_of, page["Items"]) if each is not None]
            if "LastEvaluatedKey" not in page:
                return
            call["ExclusiveStartKey"] = page["LastEvaluatedKey"]


class Relayed:
    """The relay's checkpoints, by the keys of the trail's leases on the same shards. Raises Retryable."""

    def __init__(self, relay: Leases, trail: str) -> None:
        self._relay, self._trail = relay, trail

    async def of(self, shards: Iterable[str]) -> dict[str, str | None]:
        """Shard -> the newest record it has published; None: all of them. Nothing of a shard that it never had."""
        keys = {self._relay.prefix + shard.removeprefix(self._trail): shard for shard in shards}
        rows = await self._relay.read(keys)
        return {keys[key]: None if row.progress.ended else row.progress.sequence for key, row in rows.items() if not row.new}


class RelayedElsewhere:
    """In place of `Relayed` where a Lambda function relays: it keeps no checkpoints here, and is taken to have done its work in time."""

    async def of(self, shards: Iterable[str]) -> dict[str, str | None]:
        """All of every shard."""
        return dict.fromkeys(shards)


async def publishing_since(sqs: "SQSClient", facts: Stack) -> float | None:
    """From when on (seconds, AWS's clock) all that is stored must reach the projector `amqp`; None where the stack has none.

    Its queue gets what was stored since it was made, and of older streams what they hold when they are next written to.
    """
    if AMQP not in facts.queues:
        return None
    with aws_errors():
        answer = await sqs.get_queue_attributes(QueueUrl=facts.queues[AMQP], AttributeNames=["CreatedTimestamp"])
    return float(answer["Attributes"]["CreatedTimestamp"]) + 1
