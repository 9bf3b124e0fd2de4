"""The whole event store, a page at a time, at a bounded price: what a rebuild reads.

A page's items are read by types of our own, which costs a fiftieth of what the library's way of taking an answer apart does.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec
from msgspec import Raw, Struct

from events.dynamo_items import FORMAT, UnreadableItem
from events.envelope import Commit
from events.ids import StreamId, Version
from runtime.aws import Aws, AwsUnavailable, aws_errors
from runtime.lifecycle import backoff
from runtime.settings import Settings
from runtime.stack import table_name

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

READ_ATTEMPTS: Final = 10
UNIT_BYTES: Final = 4096


class Page(NamedTuple):
    """Commits, and the read units that they cost. What only the write side needs of them (`settled`) is left out."""

    commits: list[Commit]
    units: float


class Pages(Protocol):
    """Whoever can be read whole. Consistent: what was appended before a page was asked for, and belongs to it, is in it."""

    def pages(self, segment: int, segments: int) -> AsyncIterator[Page]:
        """Every commit of this segment, in no order across streams. Raises Retryable when the store stays away, UnreadableItem."""
        ...

    async def about(self) -> int:
        """How many commits there are, roughly: DynamoDB counts every six hours."""
        ...


class _Text(Struct):
    S: str


class _Number(Struct):
    N: int


class _Item(Struct):
    stream_id: _Text
    first_version: _Number
    last_version: _Number
    previous_commit: _Number
    events: _Text
    format: _Number


class _Consumed(Struct):
    CapacityUnits: float = 0.0


class _Scanned(Struct):
    Items: list[_Item]
    LastEvaluatedKey: Raw = Raw()
    ConsumedCapacity: _Consumed | None = None


_SCANNED: Final = msgspec.json.Decoder(_Scanned, strict=False)  # numbers come as texts


class DynamoPages:
    """Of the table `events`, by a client of its own (`open_pages`)."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb, self._table = dynamodb, table

    async def pages(self, segment: int, segments: int) -> AsyncIterator[Page]:
        start: dict[str, Any] = {}
        while True:
            answer = await self._page(segment, segments, start)
            yield answer["Page"]
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def _page(self, segment: int, segments: int, start: dict[str, Any]) -> Any:
        for attempt in range(1, READ_ATTEMPTS + 1):
            try:
                with aws_errors():
                    return await self._dynamodb.scan(
                        TableName=self._table,
                        ConsistentRead=True,
                        Segment=segment,
                        TotalSegments=segments,
                        ReturnConsumedCapacity="TOTAL",
                        **start,
                    )
            except AwsUnavailable:
                if attempt == READ_ATTEMPTS:
                    raise
                await asyncio.sleep(backoff(attempt, random.random()))  # noqa: S311 - jitter
        raise AssertionError("unreachable")

    async def about(self) -> int:
        with aws_errors():
            return (await self._dynamodb.describe_table(TableName=self._table))["Table"].get("ItemCount", 0)


async def open_pages(aws: Aws, settings: Settings) -> DynamoPages:
    """Its client's scans are taken apart here, before the library does."""
    dynamodb = await aws.dynamodb()
    dynamodb.meta.events.register("before-parse.dynamodb.Scan", _take_apart)
    return DynamoPages(dynamodb, table_name(settings, "events"))


def _take_apart(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """What is left to the library is the key to go on from."""
    if response_dict["status_code"] >= 300:
        return
    body = response_dict["body"]
    customized_response_dict["Page"], key = read_page(body)
    response_dict["body"] = b'{"Items":[],"LastEvaluatedKey":%b}' % key if key else b'{"Items":[]}'


def read_page(body: bytes) -> tuple[Page, bytes]:
    """From an answer of Scan; with the key to go on from, as it stands there, or nothing. Raises UnreadableItem."""
    try:
        scanned = _SCANNED.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        raise UnreadableItem(f"not a page of commits: {wrong}") from wrong
    consumed = scanned.ConsumedCapacity
    units = consumed.CapacityUnits if consumed is not None and consumed.CapacityUnits else max(1.0, len(body) / UNIT_BYTES)
    return Page([_commit(item) for item in scanned.Items], units), bytes(scanned.LastEvaluatedKey)


def _commit(item: _Item) -> Commit:
    if item.format.N > FORMAT:
        raise UnreadableItem(f"commit of format {item.format.N}")
    return Commit(
        StreamId(item.stream_id.S),
        Version(item.first_version.N),
        Version(item.last_version.N),
        Version(item.previous_commit.N),
        Raw(item.events.S.encode()),
    )


class Budget:
    """Read units a second, of all segments together: a page is paid for before the next one is asked for."""

    def __init__(self, units_a_second: float | None, clock: Callable[[], float] = monotonic) -> None:
        """None: as many as it takes."""
        self._rate, self._clock = units_a_second, clock
        self._paid_until = 0.0
        self.spent = 0.0

    def pay(self, units: float) -> float:
        """Seconds to wait before asking for more."""
        self.spent += units
        if self._rate is None:
            return 0.0
        now = self._clock()
        self._paid_until = max(self._paid_until, now) + units / self._rate
        return self._paid_until - now
