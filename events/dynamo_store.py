"""The event store on DynamoDB: table `events`, one item a commit; table `snapshots`, one item a long stream."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from events.append_calls import AppendCall, append_call
from events.dynamo_items import from_item
from events.envelope import Commit
from events.ids import EMPTY, StreamId, Version
from events.snapshots import Snapshot, to_item
from events.store import Appended, Found, Key
from runtime.aws import Aws, AwsUnavailable, aws_errors, error_code
from runtime.lifecycle import backoff
from runtime.settings import Settings
from runtime.stack import Stack, table_name

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

KEYS_A_READ: Final = 100  # BatchGetItem's limit
CALLS_AT_ONCE: Final = 4
APPEND_BYTES: Final = 3_000_000  # of one call; a transaction takes 4 MB
READ_ATTEMPTS: Final = 8


async def open_store(aws: Aws, stack: Stack, settings: Settings) -> "DynamoStore":
    """The composition: one client that reads, one that appends without retries."""
    table = table_name(settings, "events")
    call = append_call(stack.append, await aws.dynamodb_appending(), table)
    return DynamoStore(await aws.dynamodb(), table, call, table_name(settings, "snapshots"))


class DynamoStore:
    """See events.store.EventStore for what each method promises."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str, call: AppendCall, snapshots: str) -> None:
        self._dynamodb, self._table, self._call, self._snapshots = dynamodb, table, call, snapshots
        self._free = asyncio.Semaphore(CALLS_AT_ONCE)
        self._reading = asyncio.Semaphore(CALLS_AT_ONCE)

    async def load(self, stream: StreamId, after: Version = EMPTY) -> list[Commit]:
        query: dict[str, Any] = {
            "TableName": self._table,
            "ConsistentRead": True,
            "KeyConditionExpression": "stream_id = :stream AND first_version > :after",
            "ExpressionAttributeValues": {":stream": {"S": stream}, ":after": {"N": str(after)}},
        }
        commits: list[Commit] = []
        with aws_errors():
            while True:
                page = await self._dynamodb.query(**query)
                commits += map(from_item, page["Items"])
                if "LastEvaluatedKey" not in page:
                    return commits
                query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    async def read(self, keys: Sequence[Key], snapshots_of: Sequence[StreamId] = ()) -> Found:
        parts = await asyncio.gather(*(self._read(call) for call in _reads(keys, snapshots_of)))
        commits = {(commit.stream, commit.first): commit for part, _ in parts for commit in part}
        return Found(commits, {item["stream_id"]["S"]: item for _, part in parts for item in part})

    async def _read(self, wanted: Sequence[Key | StreamId]) -> tuple[list[Commit], list[dict[str, Any]]]:
        """One call's worth; what it left is asked for again, after a pause where nothing came."""
        asked: Any = self._request(wanted)
        commits: list[Commit] = []
        snapshots: list[dict[str, Any]] = []
        for attempt in range(1, READ_ATTEMPTS + 1):
            async with self._reading:
                with aws_errors():
                    answer = await self._dynamodb.batch_get_item(RequestItems=asked)
            there = answer["Responses"]
            commits += map(from_item, there.get(self._table, []))
            snapshots += there.get(self._snapshots, [])
            asked = answer.get("UnprocessedKeys")
            if not asked:
                return commits, snapshots
            await asyncio.sleep(backoff(attempt, random.random()))  # noqa: S311 - jitter
        raise AwsUnavailable("BatchGetItem left keys unprocessed again and again")

    def _request(self, wanted: Sequence[Key | StreamId]) -> dict[str, Any]:
        commits = [{"stream_id": {"S": each[0]}, "first_version": {"N": str(each[1])}} for each in wanted if isinstance(each, tuple)]
        snapshots = [{"stream_id": {"S": each}} for each in wanted if not isinstance(each, tuple)]
        request: dict[str, Any] = {}
        if commits:
            request[self._table] = {"Keys": commits, "ConsistentRead": True}
        if snapshots:  # not consistent, at half the price: an old one is as good
            request[self._snapshots] = {"Keys": snapshots}
        return request

    async def keep(self, snapshot: Snapshot, instead_of: Any = None) -> bool:
        item = to_item(snapshot)
        condition = "attribute_not_exists(last_version) OR last_version < :last"
        values: dict[str, Any] = {":last": item["last_version"]}
        if instead_of is not None:
            condition, values[":wrong"] = f"{condition} OR last_version = :wrong", instead_of
        put: Any = {"TableName": self._snapshots, "Item": item, "ConditionExpression": condition, "ExpressionAttributeValues": values}
        with aws_errors():
            try:
                await self._dynamodb.put_item(**put)
            except ClientError as wrong:
                if error_code(wrong) != "ConditionalCheckFailedException":
                    raise
                return False
        return True

    async def last_version(self, stream: StreamId) -> Version:
        with aws_errors():
            page = await self._dynamodb.query(
                TableName=self._table,
                ConsistentRead=True,
                KeyConditionExpression="stream_id = :stream",
                ExpressionAttributeValues={":stream": {"S": stream}},
                ProjectionExpression="last_version",
                ScanIndexForward=False,
                Limit=1,
            )
        return Version(int(page["Items"][0]["last_version"]["N"])) if page["Items"] else EMPTY

    async def append(self, commits: Sequence[Commit]) -> list[Appended]:
        answers = await asyncio.gather(*map(self._append, _calls(commits, self._call.most)))
        return [answer for part in answers for answer in part]

    async def _append(self, commits: Sequence[Commit]) -> list[Appended]:
        async with self._free:
            return await self._call(commits)

    async def scan(self, segment: int = 0, segments: int = 1) -> AsyncIterator[list[Commit]]:
        start: dict[str, Any] = {}
        while True:
            with aws_errors():
                page = await self._dynamodb.scan(
                    TableName=self._table, ConsistentRead=True, Segment=segment, TotalSegments=segments, **start
                )
            yield [from_item(item) for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    async def check(self) -> None:
        """For readiness: raises Retryable or Fatal when the table does not answer."""
        with aws_errors():
            await self._dynamodb.describe_table(TableName=self._table)


def _reads(keys: Sequence[Key], snapshots_of: Sequence[StreamId]) -> Iterator[list[Key | StreamId]]:
    wanted: list[Key | StreamId] = [*keys, *snapshots_of]
    return (wanted[start : start + KEYS_A_READ] for start in range(0, len(wanted), KEYS_A_READ))


def _calls(commits: Sequence[Commit], most: int) -> Iterator[list[Commit]]:
    """Into calls of at most `most` commits and APPEND_BYTES."""
    call: list[Commit] = []
    size = 0
    for commit in commits:
        weight = len(bytes(commit.events)) + 200 * (1 + len(commit.settled))
        if call and (len(call) == most or size + weight > APPEND_BYTES):
            yield call
            call, size = [], 0
        call.append(commit)
        size += weight
    if call:
        yield call
