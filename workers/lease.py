"""Who may read a shard until when: one row of the control table, every change of it conditional on what was last seen of it.

A lease is held for `seconds` from the moment its last renewal was *sent*, by the holder's own monotonic clock. Another process
takes it over only after it watched the counter stand still for as long, by its own monotonic clock; no wall clocks are compared.
The epoch rises with every change of hands: checkpoints of an earlier epoch are refused.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from runtime.aws import aws_errors, error_code
from runtime.errors import ConfigurationError, Retryable
from workers.shards import FREE, Progress, Row

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

MOST_KEYS: Final = 100  # of one BatchGetItem
CALL_SECONDS: Final = 3.0
"""At most, of one call: what came of it is then found out by reading."""
REFUSED: Final = "ConditionalCheckFailedException"


class LeaseLost(Retryable):
    """Somebody else holds it now, or may: stop publishing. Not an error of ours."""


class Leases:
    """Reads and conditionally writes lease rows. `owner` is this process, unique for its life; `prefix` begins every row's id."""

    clock: Callable[[], float] = staticmethod(monotonic)
    """Tests have one of their own."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str, owner: str, seconds: float, prefix: str = "lease#") -> None:
        self._dynamodb, self._table = dynamodb, table
        self.owner, self.seconds, self.prefix = owner, seconds, prefix
        self._patience = min(CALL_SECONDS, seconds / 3)

    def key(self, arn: str, shard: str) -> str:
        """A stream that was switched off and on again has a new ARN, and so new leases."""
        return f"{self.prefix}{arn.rpartition('/')[2]}#{shard}"

    async def read(self, keys: Iterable[str]) -> dict[str, Row]:
        """A row that is not there yet is a free lease at the beginning. Raises ConfigurationError on a foreign row."""
        rows = {key: Row(key) for key in keys}
        wanted = list(rows)
        for begin in range(0, len(wanted), MOST_KEYS):
            for item in await self._get(wanted[begin : begin + MOST_KEYS]):
                row = _row(item)
                rows[row.key] = row
        return rows

    async def _get(self, keys: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        asked: Any = {self._table: {"Keys": [{"id": {"S": key}} for key in keys], "ConsistentRead": True}}
        with aws_errors():
            async with asyncio.timeout(CALL_SECONDS):
                while asked:
                    answer = await self._dynamodb.batch_get_item(RequestItems=asked)
                    found += answer.get("Responses", {}).get(self._table, [])
                    asked = answer.get("UnprocessedKeys")
        return found

    async def all(self) -> list[Row]:
        """Every row of this prefix, of whatever stream: a scan, for now and then. Rows that are no leases are passed over."""
        rows: list[Row] = []
        start: dict[str, Any] = {}
        while True:
            with aws_errors():
                answer = await self._dynamodb.scan(
                    TableName=self._table,
                    FilterExpression="begins_with(id, :prefix) AND attribute_exists(lease_epoch)",
                    ExpressionAttributeValues={":prefix": {"S": self.prefix}},
                    **start,
                )
            rows += [row for row in map(_row, answer["Items"]) if row.key.count("#") >= 2]
            if "LastEvaluatedKey" not in answer:
                return rows
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def delete(self, row: Row) -> bool:
        """False: it was written to meanwhile, and stays."""
        with aws_errors():
            try:
                await self._dynamodb.delete_item(
                    TableName=self._table,
                    Key={"id": {"S": row.key}},
                    ConditionExpression="lease_counter = :counter AND lease_epoch = :epoch",
                    ExpressionAttributeValues={":counter": {"N": str(row.counter)}, ":epoch": {"N": str(row.epoch)}},
                )
            except ClientError as wrong:
                if error_code(wrong) != REFUSED:
                    raise
                return False
        return True

    async def take(self, row: Row) -> Row:
        """Make it ours, under the next epoch; the caller judged that it may be taken. Raises LeaseLost when it moved meanwhile."""
        return await self._write(row, replace(row, owner=self.owner, epoch=row.epoch + 1))

    async def renew(self, row: Row, progress: Progress) -> Row:
        """Keep it, and move its checkpoint in the same write; `wanted` of the answer is who asked for it. Raises LeaseLost."""
        return await self._write(row, replace(row, owner=self.owner, progress=progress))

    async def release(self, row: Row, progress: Progress, to: str = FREE) -> None:
        """Hand it back or over with its checkpoint, so that a successor need not wait. Raises LeaseLost."""
        await self._write(row, replace(row, owner=to, progress=progress))

    async def ask(self, row: Row) -> None:
        """Tell its owner, who learns of it at the next renewal. Nothing happens when the lease changed hands, or somebody asked before."""
        with aws_errors():
            try:
                async with asyncio.timeout(self._patience):
                    await self._dynamodb.update_item(
                        TableName=self._table,
                        Key={"id": {"S": row.key}},
                        UpdateExpression="SET lease_wanted = :me",
                        ConditionExpression="lease_owner = :owner AND lease_epoch = :epoch AND attribute_not_exists(lease_wanted)",
                        ExpressionAttributeValues={":me": {"S": self.owner}, ":owner": {"S": row.owner}, ":epoch": {"N": str(row.epoch)}},
                    )
            except ClientError as wrong:
                if error_code(wrong) != REFUSED:
                    raise

    async def _write(self, seen: Row, row: Row) -> Row:
        try:
            return await self._put(seen, row)
        except LeaseLost:
            found = (await self.read([row.key]))[row.key]
            # An answer of ours was lost, and the row is as we left it: nobody else writes under this owner and this epoch.
            if found.epoch != row.epoch or found.counter <= seen.counter or found.owner not in (self.owner, row.owner):
                raise
        return await self._put(found, row)

    async def _put(self, seen: Row, row: Row) -> Row:
        row = replace(row, counter=seen.counter + 1, seconds=self.seconds, wanted="")
        sent = self.clock()
        with aws_errors():
            try:
                async with asyncio.timeout(self._patience):
                    answer = await self._dynamodb.put_item(
                        TableName=self._table,
                        Item=_item(row),
                        ConditionExpression="attribute_not_exists(id) OR (lease_counter = :counter AND lease_epoch = :epoch)",
                        ExpressionAttributeValues={":counter": {"N": str(seen.counter)}, ":epoch": {"N": str(seen.epoch)}},
                        ReturnValues="ALL_OLD",
                    )
            except ClientError as wrong:
                if error_code(wrong) != REFUSED:
                    raise
                raise LeaseLost(row.key) from wrong
        wanted = answer.get("Attributes", {}).get("lease_wanted", {"S": ""})["S"]
        return replace(row, held_until=sent + self.seconds, wanted=wanted)


def _item(row: Row) -> dict[str, Any]:
    """A storage format. What is not known has no attribute, since some stores refuse an empty string."""
    item: dict[str, Any] = {
        "id": {"S": row.key},
        "lease_owner": {"S": row.owner},
        "lease_counter": {"N": str(row.counter)},
        "lease_epoch": {"N": str(row.epoch)},
        "shard_ended": {"BOOL": row.progress.ended},
    }
    if row.progress.sequence:
        item["checkpoint"] = {"S": row.progress.sequence}
    if row.seconds:
        item["lease_seconds"] = {"N": f"{row.seconds:g}"}
    return item


def _row(item: Mapping[str, Any]) -> Row:
    try:
        return Row(
            item["id"]["S"],
            item["lease_owner"]["S"],
            int(item["lease_counter"]["N"]),
            int(item["lease_epoch"]["N"]),
            Progress(item.get("checkpoint", {"S": ""})["S"], bool(item["shard_ended"]["BOOL"])),
            item.get("lease_wanted", {"S": ""})["S"],
            float(item.get("lease_seconds", {"N": "0"})["N"]),
        )
    except (KeyError, TypeError, ValueError) as wrong:
        name = item["id"]["S"] if isinstance(item.get("id"), dict) else "?"
        raise ConfigurationError([f"the control table's row {name} is not a lease of ours"]) from wrong
