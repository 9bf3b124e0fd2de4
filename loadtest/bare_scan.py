"""What the backend alone does: conditional puts one after the other while its table is scanned, with no role and no rebuild between.

A backend that works a page of a scan out of its whole table on its only thread answers nobody meanwhile. What a caller of a running stack
meets during a rebuild is to be held against this, of the same table in the same run.
"""

import asyncio
from itertools import pairwise
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError

from events.scanning import DynamoPages, open_pages
from loadtest.ground import Ground
from runtime.aws import aws_errors, error_code, open_aws
from runtime.stack import table_name

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

CALLS_OF_A_POST = 4
"""One after the other, of a command that is waited for: sent, received, its stream read, appended."""


class Bare(NamedTuple):
    """Seconds; `slowest_four`: of `CALLS_OF_A_POST` puts one after the other; `quiet`: the slowest of as many puts beside nothing."""

    scan: float
    puts: int
    slowest_put: float
    slowest_four: float
    quiet: float


async def bare_scan(on: Ground) -> Bare:
    """Of the stack's own table of events, which it does not change. Raises Retryable."""
    async with open_aws(on.settings) as aws:
        pages, dynamodb = await open_pages(aws, on.settings), await aws.dynamodb()
        table = table_name(on.settings, "events")
        done = asyncio.Event()
        async with asyncio.TaskGroup() as beside:
            putting = beside.create_task(_put_until(dynamodb, table, done))
            began = monotonic()
            await _all(pages)
            took = monotonic() - began
            done.set()
        ends = putting.result()
        quiet = [ended - began for began, ended in pairwise([monotonic(), *[await _put(dynamodb, table) for _ in ends[:200]]])]
    return summed(took, ends, quiet)


def summed(scan: float, ends: list[float], quiet: list[float]) -> Bare:
    """From the times at which a put ended and the next began, the first of them the beginning. Pure."""
    each = [later - earlier for earlier, later in pairwise(ends)]
    four = [later - earlier for earlier, later in zip(ends, ends[CALLS_OF_A_POST:], strict=False)]
    return Bare(scan, len(each), max(each), max(four, default=max(each)), max(quiet))


async def _all(pages: DynamoPages) -> None:
    async for _ in pages.pages(0, 1):
        pass


async def _put_until(dynamodb: "DynamoDBClient", table: str, done: asyncio.Event) -> list[float]:
    ends = [monotonic(), await _put(dynamodb, table)]
    while not done.is_set():
        ends.append(await _put(dynamodb, table))
    return ends


async def _put(dynamodb: "DynamoDBClient", table: str) -> float:
    """When it ended. Refused by its condition: nothing is written."""
    key = {"stream_id": {"S": "bare-put"}, "first_version": {"N": "1"}}
    with aws_errors():
        try:
            await dynamodb.put_item(TableName=table, Item=key, ConditionExpression="attribute_exists(stream_id)")
        except ClientError as wrong:
            if error_code(wrong) != "ConditionalCheckFailedException":
                raise
    return monotonic()
