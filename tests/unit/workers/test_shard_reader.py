"""A shard read to its end: what moves the checkpoint, what is published again, and what ends a reader."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, cast

import pytest

from events.dynamo_items import to_item
from events.parcel import read_commits
from runtime.aws import AwsRefused
from tests.support.fake_streams import FakeSns, FakeStreams, refused
from tests.support.fake_table import FakeTable
from tests.unit.workers.test_packing import commit
from workers.lease import LeaseLost, Leases
from workers.pacing import Pace
from workers.publishing import Publisher, Topic
from workers.shard_reader import ShardReader
from workers.shards import Progress, Shard

CHECKPOINT = "checkpoint"
Told = Callable[[], Awaitable[None]]


def records(*firsts: int) -> list[dict[str, Any]]:
    return [
        {"eventName": "INSERT", "dynamodb": {"NewImage": to_item(commit("thing-1", n)), "SequenceNumber": f"{100 + n}"}} for n in firsts
    ]


class Eager(Pace):
    async def rest(self, *_: object) -> None:
        await asyncio.sleep(0)


async def read(
    streams: FakeStreams, sns: FakeSns, table: FakeTable, *, begin: str = "", seconds: float = 10, told: Told | None = None
) -> Progress:
    leases = Leases(cast(Any, table), "control", "ann", seconds)
    row = await leases.take((await leases.read(["s"]))["s"])
    if begin:
        row = await leases.renew(row, Progress(begin))
    reader = ShardReader(cast(Any, streams), leases, Publisher(Topic(cast(Any, sns), "topic"), told), Eager)
    async with asyncio.timeout(5):
        return await reader.read("arn", Shard("s"), row, asyncio.Event())


def published(sns: FakeSns) -> list[int]:
    return [int(c.first) for call in sns.calls for entry in call for c in read_commits(entry["Message"]).commits]


async def test_everything_is_published_and_the_end_is_written_down() -> None:
    table, sns = FakeTable(), FakeSns()
    assert await read(FakeStreams([records(1, 2), [], records(3)]), sns, table) == Progress("103", ended=True)
    assert published(sns) == [1, 2, 3]
    assert (table.rows["s"][CHECKPOINT], table.rows["s"]["shard_ended"]) == ({"S": "103"}, {"BOOL": True})
    assert table.rows["s"]["lease_owner"] == {"S": "-"}


async def test_an_entry_that_failed_is_tried_again_under_the_same_id() -> None:
    sns = FakeSns([{0}, refused("Throttling")])
    await read(FakeStreams([records(1)]), sns, FakeTable())
    assert len({call[0]["MessageDeduplicationId"] for call in sns.calls}) == 1
    assert published(sns) == [1, 1, 1]


async def test_the_checkpoint_is_where_reading_begins() -> None:
    streams = FakeStreams([records(8)])
    await read(streams, FakeSns(), FakeTable(), begin="107")
    assert streams.asked == ["107"]


async def test_an_expired_iterator_goes_on_at_the_checkpoint() -> None:
    streams, sns = FakeStreams([records(1), refused("ExpiredIteratorException"), records(2)]), FakeSns()
    assert (await read(streams, sns, FakeTable())).sequence == "102"
    assert (streams.asked, published(sns)) == (["TRIM_HORIZON", "101"], [1, 2])


async def test_a_checkpoint_older_than_the_stream_goes_on_at_the_oldest_record() -> None:
    """A day without a relay; the projectors see the gap and read the store."""
    streams = FakeStreams([records(9)], [refused("TrimmedDataAccessException")])
    sns = FakeSns()
    assert (await read(streams, sns, FakeTable(), begin="101")).sequence == "109"
    assert (streams.asked, published(sns)) == (["101", "TRIM_HORIZON"], [9])


async def test_records_trimmed_under_the_reader_are_passed_over() -> None:
    streams = FakeStreams([records(1), refused("TrimmedDataAccessException"), records(9)])
    assert (await read(streams, FakeSns(), FakeTable())).sequence == "109"


async def test_what_aws_refuses_for_good_ends_the_reader() -> None:
    with pytest.raises(AwsRefused, match="AccessDenied"):
        await read(FakeStreams([refused("AccessDenied")]), FakeSns(), FakeTable())


async def test_nothing_is_published_under_a_lease_that_could_not_be_renewed_and_no_checkpoint_moves() -> None:
    table, began = FakeTable(), monotonic()
    sns = FakeSns([refused("Throttling")] * 50, seen=table.away.set)
    with pytest.raises(LeaseLost):
        await read(FakeStreams([records(1), records(2)]), sns, table, seconds=0.3)
    assert monotonic() - began < 0.3
    assert CHECKPOINT not in table.rows["s"]


async def test_a_page_that_takes_longer_than_a_lease_keeps_it() -> None:
    table = FakeTable()
    sns = FakeSns([refused("Throttling")] * 5)
    assert (await read(FakeStreams([records(1), records(2)]), sns, table, seconds=0.3)).sequence == "102"
    assert int(table.rows["s"]["lease_counter"]["N"]) > 4


async def test_a_lease_taken_by_another_meanwhile_is_left_alone() -> None:
    table = FakeTable()

    def steal() -> None:
        table.rows["s"] = table.rows["s"] | {"lease_owner": {"S": "bob"}, "lease_epoch": {"N": "9"}, CHECKPOINT: {"S": "500"}}

    with pytest.raises(LeaseLost):
        await read(FakeStreams([records(1)]), FakeSns(seen=steal), table)
    assert table.rows["s"][CHECKPOINT] == {"S": "500"}


async def test_projectors_are_called_once_sns_has_a_page_and_not_for_an_empty_one() -> None:
    sns, had = FakeSns([{0}]), list[int]()

    async def told() -> None:
        had.append(len(sns.calls))

    await read(FakeStreams([records(1), [], records(2)]), sns, FakeTable(), told=told)
    assert had == [2, 3]  # a page's entry that failed was published again first
