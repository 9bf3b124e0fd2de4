"""The event store on DynamoDB: table `events`, one item a commit."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from events.append_calls import AppendCall, append_call
from events.dynamo_items import from_item
from events.envelope import Commit
from events.ids import EMPTY, StreamId, Version
from events.store import Appended, Place
from runtime.aws import Aws, AwsUnavailable, aws_errors
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
    return DynamoStore(await aws.dynamodb(), table, call)


class DynamoStore:
    """See events.store.EventStore for what each method promises."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str, call: AppendCall) -> None:
        self._dynamodb, self._table, self._call = dynamodb, table, call
        self._free, self._reading = asyncio.Semaphore(CALLS_AT_ONCE), asyncio.Semaphore(CALLS_AT_ONCE)

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

    async def commits_at(self, places: Sequence[Place]) -> dict[Place, Commit]:
        pages = await asyncio.gather(*map(self._at, _chunks(places, KEYS_A_READ)))
        return {(commit.stream, commit.first): commit for page in pages for commit in page}

    async def _at(self, places: Sequence[Place]) -> list[Commit]:
        """One call, and more for what it left: DynamoDB answers at most 16 MB, and less when it is throttled."""
        keys = [{"stream_id": {"S": stream}, "first_version": {"N": str(first)}} for stream, first in places]
        wanted: Any = {self._table: {"Keys": keys, "ConsistentRead": True}}
        found: list[Commit] = []
        async with self._reading:
            for attempt in range(1, READ_ATTEMPTS + 1):
                with aws_errors():
                    answer = await self._dynamodb.batch_get_item(RequestItems=wanted)
                read = answer["Responses"].get(self._table, [])
                found += map(from_item, read)
                wanted = answer.get("UnprocessedKeys")
                if not wanted:
                    return found
                if not read:
                    await asyncio.sleep(backoff(attempt, random.random()))  # noqa: S311 - jitter
        raise AwsUnavailable("BatchGetItem left keys unprocessed again and again")

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


def _chunks(items: Sequence[Place], size: int) -> Iterator[Sequence[Place]]:
    return (items[start : start + size] for start in range(0, len(items), size))


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
