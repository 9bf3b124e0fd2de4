"""I9 as seen from outside: the lease rows of the control table, looked at ten times a second for as long as a drill lasts."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from runtime.aws import AwsUnavailable, aws_errors

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

LOOK_SECONDS: Final = 0.1
FREE: Final = "-"
"""The owner of a lease that was handed back."""
BLIND_SECONDS: Final = 1.0
"""Between two looks further apart a lease may have changed hands more than once."""


class Lease(NamedTuple):
    """A row as it was at one moment. `checkpoint`: the stream's sequence number, 0 before the first."""

    owner: str
    counter: int
    epoch: int
    checkpoint: int
    ended: bool

    def of_process(self, pid: int) -> bool:
        """Whether that process of this machine holds it."""
        return f"-{pid}-" in self.owner


def faults_between(before: Lease, after: Lease, seconds: float) -> Iterator[str]:
    """What is wrong with a row that was the one and, so much later, the other. Pure."""
    if after.epoch < before.epoch:
        yield f"the epoch fell from {before.epoch} to {after.epoch}"
    if after.epoch > before.epoch + 1 and seconds < BLIND_SECONDS:
        yield f"the epoch rose from {before.epoch} to {after.epoch} in {seconds:.2f} s"
    if after.epoch == before.epoch and after.owner not in (before.owner, FREE):
        yield f"{before.owner} gave way to {after.owner} within epoch {after.epoch}"
    if after.counter < before.counter:
        yield f"the counter fell from {before.counter} to {after.counter}"
    if after.checkpoint < before.checkpoint:
        yield f"the checkpoint fell from {before.checkpoint} to {after.checkpoint}"
    if before.ended and not after.ended:
        yield "it had ended, and goes on"


class LeaseHistory:
    """What was seen so far. `now`: by row, as last seen. `looks`; checkpoints that had `moved` in them; `hands`: changes of hands."""

    def __init__(self) -> None:
        self._at = monotonic()
        self.now: dict[str, Lease] = {}
        self.faults: list[str] = []
        self.looks = self.moves = self.hands = 0

    def saw(self, rows: Mapping[str, Lease], at: float) -> None:
        """These, at that moment of the monotonic clock."""
        seconds, self._at = at - self._at, at
        self.looks += 1
        for key, lease in rows.items():
            before = self.now.get(key)
            if before is not None:
                self.moves += lease.checkpoint > before.checkpoint
                self.hands += lease.epoch > before.epoch
                self.faults += [f"I9 {key}: {each}" for each in faults_between(before, lease, seconds)]
            self.now[key] = lease


class LeaseWatch:
    """Looks at the rows; what it saw is in `history`."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb, self._table = dynamodb, table
        self._looking = asyncio.Lock()
        self.history = LeaseHistory()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with suppress(AwsUnavailable):  # the emulator is busy: the next look sees what came of it
                await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> Mapping[str, Lease]:
        """One, kept; one after the other, so that what is older is never taken for newer. Raises AwsUnavailable."""
        async with self._looking:
            rows = await self._rows()
            self.history.saw(rows, monotonic())
            return rows

    async def _rows(self) -> dict[str, Lease]:
        rows, start = dict[str, Lease](), dict[str, Any]()
        while True:
            with aws_errors():
                page = await self._dynamodb.scan(
                    TableName=self._table,
                    ConsistentRead=True,
                    FilterExpression="begins_with(id, :lease)",
                    ExpressionAttributeValues={":lease": {"S": "lease#"}},
                    **start,
                )
            rows |= {item["id"]["S"]: lease_of(item) for item in page["Items"] if "lease_epoch" in item}
            if not page.get("LastEvaluatedKey"):
                return rows
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def lease_of(item: Mapping[str, Any]) -> Lease:
    """A row as DynamoDB gives it."""
    return Lease(
        item["lease_owner"]["S"],
        int(item["lease_counter"]["N"]),
        int(item["lease_epoch"]["N"]),
        int(item.get("checkpoint", {"S": "0"})["S"] or "0"),
        bool(item["shard_ended"]["BOOL"]),
    )
