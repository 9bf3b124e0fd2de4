"""The table `events` as it lies there, page by page: items that are no commits too, which an audit must name and not stumble over.

An answer is taken apart here, before the library does it: for pages of thousands of items that costs a small part of the library's way.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw, Struct

from runtime.aws import Aws, AwsUnavailable, aws_errors
from runtime.lifecycle import backoff
from runtime.settings import Settings
from runtime.stack import table_name

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

ATTEMPTS: Final = 6
"""An audit has time: a page that fails is asked for again."""
Item = dict[str, dict[str, Any]]
"""Values of any type: what is no commit may have attributes that no commit has."""


class _Scanned(Struct):
    Items: list[Item]
    LastEvaluatedKey: Raw = Raw()


_SCANNED: Final = msgspec.json.Decoder(_Scanned)
_KEY: Final = msgspec.json.Decoder(Item)


class Scan:
    """By a client of its own: see `open_scan`."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb, self._table = dynamodb, table

    async def page(self, segment: int, segments: int, start: bytes | None = None) -> tuple[Sequence[Item], bytes | None]:
        """Consistent. Items, and where the next page begins; None: there is none. Raises Retryable when the store stays away."""
        for attempt in range(1, ATTEMPTS):
            try:
                return await self._page(segment, segments, start)
            except AwsUnavailable:
                await asyncio.sleep(backoff(attempt, random.random()))  # noqa: S311 - jitter
        return await self._page(segment, segments, start)

    async def _page(self, segment: int, segments: int, start: bytes | None) -> tuple[Sequence[Item], bytes | None]:
        begin: Any = {} if start is None else {"ExclusiveStartKey": _KEY.decode(start)}
        with aws_errors():
            answer: Any = await self._dynamodb.scan(
                TableName=self._table, ConsistentRead=True, Segment=segment, TotalSegments=segments, **begin
            )
        scanned: _Scanned = answer["Scanned"]
        return scanned.Items, bytes(scanned.LastEvaluatedKey) or None


async def open_scan(aws: Aws, settings: Settings) -> Scan:
    """Its client closes with `aws`."""
    dynamodb = await aws.dynamodb_scanning()
    dynamodb.meta.events.register("before-parse.dynamodb.Scan", _take_apart)
    return Scan(dynamodb, table_name(settings, "events"))


def _take_apart(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Errors are left to the library."""
    if response_dict["status_code"] < 300:
        customized_response_dict["Scanned"] = _SCANNED.decode(response_dict["body"])
        response_dict["body"] = b"{}"
