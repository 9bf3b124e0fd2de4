"""The event store's stream: which one it is now, and what shards it has. One object for all fleets of a process."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final

from runtime.aws import AwsRefused, aws_errors
from runtime.errors import ConfigurationError, Retryable
from workers.shards import Shard

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient


CALL_SECONDS: Final = 5.0


class StreamGone(Retryable):
    """This stream is no longer there: it was switched off a day ago, or its table was deleted."""


class EventStream:
    """Asks AWS, and remembers the answers for whoever may do with ones that are not older than so many seconds."""

    def __init__(
        self, dynamodb: "DynamoDBClient", streams: "DynamoDBStreamsClient", table: str, clock: Callable[[], float] = monotonic
    ) -> None:
        self._dynamodb, self.streams, self._table, self._clock = dynamodb, streams, table, clock
        self._arn: tuple[float, str] | None = None
        self._shards: dict[str, tuple[float, list[Shard]]] = {}

    async def arn(self, age: float = 0.0) -> str:
        """Of the table's latest stream. Raises ConfigurationError when the table never had one."""
        if self._arn is None or self._clock() - self._arn[0] >= age:
            asked = self._clock()
            with aws_errors():
                async with asyncio.timeout(CALL_SECONDS):
                    table = (await self._dynamodb.describe_table(TableName=self._table))["Table"]
            arn = table.get("LatestStreamArn")
            if arn is None:
                raise ConfigurationError([f"the table {self._table} has no stream"])
            self._arn = (asked, arn)
        return self._arn[1]

    async def shards(self, arn: str, age: float = 0.0) -> list[Shard]:
        """All that the stream lists, in no order. Raises StreamGone."""
        known = self._shards.get(arn)
        if known is None or self._clock() - known[0] >= age:
            known = (self._clock(), await self._listed(arn))
            self._shards[arn] = known
        return known[1]

    def forget(self, arn: str) -> None:
        """What was remembered of a stream that is gone, or that surely changed."""
        self._shards.pop(arn, None)

    async def answers(self) -> None:
        """Raises Retryable when the stream does not."""
        arn = await self.arn(age=60)
        with aws_errors():
            await self.streams.describe_stream(StreamArn=arn, Limit=1)

    async def _listed(self, arn: str) -> list[Shard]:
        """DescribeStream gives a hundred a page, parents not always before their children."""
        found: dict[str, Shard] = {}
        start: dict[str, str] = {}
        while True:
            try:
                with aws_errors():
                    async with asyncio.timeout(CALL_SECONDS):
                        answer = await self.streams.describe_stream(StreamArn=arn, **start)  # type: ignore[arg-type]
            except AwsRefused as wrong:
                if wrong.code != "ResourceNotFoundException":
                    raise
                raise StreamGone(arn) from wrong
            description = answer["StreamDescription"]
            for each in description["Shards"]:
                found[each["ShardId"]] = Shard(each["ShardId"], each.get("ParentShardId", ""))
            last = description.get("LastEvaluatedShardId")
            if not last or last == start.get("ExclusiveStartShardId"):
                return list(found.values())
            start = {"ExclusiveStartShardId": last}
