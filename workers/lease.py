"""Who may read a shard until when: one row of the control table, every change of it conditional on what was last seen of it.

A lease is held for `seconds` from the moment its last renewal was *sent*, by the holder's own monotonic clock. Another process
takes it over only after it watched the counter stand still for as long, by its own monotonic clock; no wall clocks are compared.
The epoch rises with every change of hands: checkpoints of an earlier epoch are refused.
"""

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from runtime.aws import aws_errors, error_code
from runtime.errors import ConfigurationError, Retryable
from workers.shards import Progress

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

FREE: Final = "-"
START: Final = Progress()


class LeaseLost(Retryable):
    """Somebody else holds it now: stop publishing. Not an error of ours."""


@dataclass(slots=True)
class Row:
    """A lease as last read or written."""

    key: str
    owner: str = FREE
    counter: int = 0
    epoch: int = 0
    progress: Progress = START
    held_until: float = 0.0
    """By our monotonic clock; only when we hold it."""

    def held(self) -> bool:
        return monotonic() < self.held_until


class Leases:
    """Reads and conditionally writes lease rows. `owner` is this process, unique for its life."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str, owner: str, seconds: float) -> None:
        self._dynamodb, self._table, self._owner = dynamodb, table, owner
        self.seconds = seconds
        self._watched: dict[str, tuple[int, int, float]] = {}
        """Key -> (epoch, counter, when first seen so) of others' leases."""

    async def read(self, key: str) -> Row:
        """A row that is not there yet is a free lease at the beginning. Raises ConfigurationError on a foreign row."""
        with aws_errors():
            answer = await self._dynamodb.get_item(TableName=self._table, Key={"id": {"S": key}}, ConsistentRead=True)
        item = answer.get("Item")
        return Row(key) if item is None else _row(key, item)

    async def acquire(self, key: str) -> Row | None:
        """The lease, when it is free, ours, or has stood still for its whole time; else None, and it is watched."""
        row = await self.read(key)
        now = monotonic()
        if row.owner not in (FREE, self._owner):
            epoch, counter, since = self._watched.get(key, (-1, -1, now))
            if (epoch, counter) != (row.epoch, row.counter):
                self._watched[key] = (row.epoch, row.counter, now)
                return None
            if now - since < self.seconds:
                return None
        try:
            return await self._write(row, self._owner, row.epoch + 1, row.progress)
        except LeaseLost:
            return None

    async def renew(self, row: Row, progress: Progress) -> Row:
        """Keep it, and move its checkpoint in the same write. Raises LeaseLost."""
        return await self._write(row, self._owner, row.epoch, progress)

    async def release(self, row: Row, progress: Progress) -> None:
        """Hand it back with its checkpoint, so that a successor need not wait. Raises LeaseLost."""
        await self._write(row, FREE, row.epoch, progress)

    async def _write(self, row: Row, owner: str, epoch: int, progress: Progress) -> Row:
        sent = monotonic()
        with aws_errors():
            try:
                await self._dynamodb.put_item(
                    TableName=self._table,
                    Item=_item(Row(row.key, owner, row.counter + 1, epoch, progress)),
                    ConditionExpression="attribute_not_exists(id) OR (lease_counter = :counter AND lease_epoch = :epoch)",
                    ExpressionAttributeValues={":counter": {"N": str(row.counter)}, ":epoch": {"N": str(row.epoch)}},
                )
            except ClientError as wrong:
                if error_code(wrong) != "ConditionalCheckFailedException":
                    raise
                raise LeaseLost(row.key) from wrong
        return Row(row.key, owner, row.counter + 1, epoch, progress, sent + self.seconds)


def _item(row: Row) -> dict[str, Any]:
    """A storage format. No checkpoint yet: no attribute, since some stores refuse an empty string."""
    item: dict[str, Any] = {
        "id": {"S": row.key},
        "lease_owner": {"S": row.owner},
        "lease_counter": {"N": str(row.counter)},
        "lease_epoch": {"N": str(row.epoch)},
        "shard_ended": {"BOOL": row.progress.ended},
    }
    return item | ({"checkpoint": {"S": row.progress.sequence}} if row.progress.sequence else {})


def _row(key: str, item: dict[str, Any]) -> Row:
    try:
        return Row(
            key,
            item["lease_owner"]["S"],
            int(item["lease_counter"]["N"]),
            int(item["lease_epoch"]["N"]),
            Progress(item.get("checkpoint", {"S": ""})["S"], bool(item["shard_ended"]["BOOL"])),
        )
    except (KeyError, TypeError, ValueError) as wrong:
        raise ConfigurationError([f"the control table's row {key} is not a lease of ours"]) from wrong
