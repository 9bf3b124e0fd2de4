"""The full walk that somebody wants: one row of the control table, so that the wish outlives whoever had it.

The relay asks for a walk when the stream has lost data or is another one; the reconciler walks, and takes the wish away if nobody asked
again meanwhile.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import ClientError

from runtime.aws import aws_errors, error_code

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

ROW: Final = "walk#wanted"
STREAM_ROW: Final = "walk#stream"


@dataclass(frozen=True, slots=True)
class Walk:
    """A wish. `number` rises with every asking; `why` is the latest reason, a sentence for people."""

    number: int
    why: str


class Wish(Protocol):
    """Asking for a walk, as those do who notice that one is needed."""

    async def want(self, why: str) -> None:
        """Durable when it returns."""
        ...


class Walks:
    """The row, for those who ask and for the one who walks. All methods raise Retryable when the table does not answer."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb, self._table = dynamodb, table

    async def want(self, why: str) -> None:
        """Ask for a walk. Durable when it returns; asking twice is one walk, unless one began in between."""
        with aws_errors():
            await self._dynamodb.update_item(
                TableName=self._table,
                Key={"id": {"S": ROW}},
                UpdateExpression="SET walk_why = :why ADD walk_number :one",
                ExpressionAttributeValues={":why": {"S": why}, ":one": {"N": "1"}},
            )

    async def wanted(self) -> Walk | None:
        """The wish that stands, if there is one."""
        with aws_errors():
            answer = await self._dynamodb.get_item(TableName=self._table, Key={"id": {"S": ROW}}, ConsistentRead=True)
        item = answer.get("Item")
        return None if item is None or "walk_why" not in item else Walk(int(item["walk_number"]["N"]), item["walk_why"]["S"])

    async def done(self, walk: Walk) -> bool:
        """Take the wish away, now that all was walked. False: somebody asked again meanwhile, and it stands."""
        with aws_errors():
            try:
                await self._dynamodb.update_item(
                    TableName=self._table,
                    Key={"id": {"S": ROW}},
                    UpdateExpression="REMOVE walk_why",
                    ConditionExpression="walk_number = :number",
                    ExpressionAttributeValues={":number": {"N": str(walk.number)}},
                )
            except ClientError as wrong:
                if error_code(wrong) != "ConditionalCheckFailedException":
                    raise
                return False
        return True

    async def note_stream(self, arn: str) -> bool:
        """Whether this is another stream than was noted before: then a walk is asked for, since nothing tells what the old one still had,
        nor what was written between the two."""
        key = {"id": {"S": STREAM_ROW}}
        with aws_errors():
            answer = await self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        if answer.get("Item", {}).get("stream_arn") == {"S": arn}:
            return False
        await self.want(f"the stream {arn.rpartition('/')[2]} is read for the first time")
        await self.know_stream(arn)
        return True

    async def know_stream(self, arn: str) -> None:
        """Note a stream, for who knows that nothing was stored before it: it is read without a walk."""
        with aws_errors():
            await self._dynamodb.put_item(TableName=self._table, Item={"id": {"S": STREAM_ROW}, "stream_arn": {"S": arn}})
