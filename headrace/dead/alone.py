"""One redrive of a stack at a time.

Two at once would do no harm: a letter is hidden from the second while the first has it, and what is sent twice acts once. But neither
would tell its caller the truth about what is there. So this is a courtesy, and may go by the clocks of the machines it runs on.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex
from time import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from botocore.exceptions import ClientError

from runtime import logs
from runtime.aws import aws_errors, error_code
from runtime.errors import HeadraceError, Retryable

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

HELD_SECONDS: Final = 60
"""After which the next may begin though the one before never said that it ended."""
_LOG: Final = logs.get("redrive")


class Redriving(Retryable):
    """Somebody else does."""


@asynccontextmanager
async def alone(dynamodb: "DynamoDBClient", table: str, what: str = "redrive") -> AsyncIterator[None]:
    """In the stack's control table, under the id `what`. Raises Redriving, or Retryable."""
    mine = _Mark(dynamodb, table, what, token_hex(8))
    if not await mine.hold():
        raise Redriving(f"another redrive is under way (one that was killed is forgotten after {HELD_SECONDS} seconds)")
    holding = asyncio.create_task(mine.keep())
    try:
        yield
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        await mine.give_up()


class _Mark(NamedTuple):
    """The item that says who redrives."""

    dynamodb: "DynamoDBClient"
    table: str
    what: str
    mine: str

    async def give_up(self) -> None:
        call: Any = {
            "TableName": self.table,
            "Key": {"id": {"S": self.what}},
            "ConditionExpression": "holder = :mine",
            "ExpressionAttributeValues": {":mine": {"S": self.mine}},
        }
        with aws_errors():
            try:
                await self.dynamodb.delete_item(**call)
            except ClientError as wrong:
                if error_code(wrong) != "ConditionalCheckFailedException":  # somebody else's by now
                    raise

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(HELD_SECONDS / 4)
            try:
                await self.hold()
            except HeadraceError as wrong:
                _LOG.warning("redrive not announced", action="redrive", error=str(wrong))

    async def hold(self) -> bool:
        """False when somebody else does."""
        now = int(time())
        put: Any = {
            "TableName": self.table,
            "Item": self._item(now + HELD_SECONDS),
            "ConditionExpression": "attribute_not_exists(id) OR expires_at < :now OR holder = :mine",
            "ExpressionAttributeValues": {":now": {"N": str(now)}, ":mine": {"S": self.mine}},
        }
        with aws_errors():
            try:
                await self.dynamodb.put_item(**put)
            except ClientError as wrong:
                if error_code(wrong) != "ConditionalCheckFailedException":
                    raise
                return False
        return True

    def _item(self, until: int) -> Any:
        return {"id": {"S": self.what}, "holder": {"S": self.mine}, "expires_at": {"N": str(until)}}  # the table's TTL attribute
