"""What AWS would bill for a usage. Pure: usage and prices in, dollars out."""

from typing import Final

from msgspec import Struct

from headrace.costs.prices import Prices
from headrace.costs.usage import Usage

_MILLION: Final = 1e6
_GB: Final = 1024.0**3
_STREAM_READS: Final = 1e5


class Bill(Struct, frozen=True):
    """Dollars. `total` and `floor` are as AWS bills the same commits with the PartiQL append; `as_run` with the backend's own.

    Of `per_million` every figure is null without commands.
    """

    sqs: float
    sns: float
    dynamodb: float
    streams: float
    total: float
    as_run: float
    """The total with DynamoDB's write units as this backend's append call consumed them (a transaction costs twice)."""
    floor: float
    """The commits' write units alone: what no way of running this domain on DynamoDB on demand can go below."""
    commands: int
    per_million: "PerMillion"


class PerMillion(Struct, frozen=True):
    """Dollars per million commands."""

    total: float | None
    as_run: float | None
    floor: float | None
    sqs: float | None
    sns: float | None
    dynamodb: float | None
    streams: float | None


def bill(usage: Usage, prices: Prices, commands: int) -> Bill:
    """`commands`: what the cost is divided by."""
    sqs = usage.billed_requests("sqs") / _MILLION * prices.sqs_fifo_million_requests
    sns = _sns(usage, prices)
    reads = usage.read_units / _MILLION * prices.dynamodb_million_read_units
    a_write = prices.dynamodb_million_write_units / _MILLION
    dynamodb = usage.write_units * a_write + reads
    streams = usage.stream_reads / _STREAM_READS * prices.streams_hundred_thousand_reads
    floor = usage.commit_units * a_write
    total = sqs + sns + dynamodb + streams
    as_run = total + (usage.write_units_as_run - usage.write_units) * a_write

    def each(dollars: float) -> float | None:
        return dollars * _MILLION / commands if commands > 0 else None

    per_million = PerMillion(each(total), each(as_run), each(floor), each(sqs), each(sns), each(dynamodb), each(streams))
    return Bill(sqs, sns, dynamodb, streams, total, as_run, floor, commands, per_million)


def _sns(usage: Usage, prices: Prices) -> float:
    """Publish requests by 64 KB and by the GB; deliveries by the message and by the GB."""
    published = usage.billed_requests("sns") / _MILLION * prices.sns_fifo_million_publishes
    published += usage.sns_bytes / _GB * prices.sns_fifo_published_gb
    delivered = usage.sns_deliveries / _MILLION * prices.sns_fifo_million_deliveries
    return published + delivered + usage.sns_delivered_bytes / _GB * prices.sns_fifo_delivered_gb
