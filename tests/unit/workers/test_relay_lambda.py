"""The relay as a Lambda function: events as Lambda hands them over, and what it is told to bring again."""

import json
from typing import Any, cast

import pytest

from events.dynamo_items import to_item
from events.ids import partition_of
from events.parcel import MAX_BYTES, read_commits
from tests.support.fake_streams import FakeSns, refused
from tests.unit.workers.test_packing import commit
from workers.packing import GROUPS
from workers.publishing import Topic
from workers.relay_lambda import ForeignEvent, RelayFunction, _records

STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/headrace-events/stream/2026-11-25T21:40:16.972"
SECONDS = 20.0


def record(number: int, stream: str, first: int = 1, *, name: str = "INSERT", size: int = 10) -> dict[str, Any]:
    """As a NEW_IMAGE stream gives it; a REMOVE has no image."""
    image = to_item(commit(stream, first, size))
    keys = {key: image[key] for key in ("stream_id", "first_version")}
    told = {
        "ApproximateCreationDateTime": 1594935882,
        "Keys": keys,
        "NewImage": image,
        "SequenceNumber": f"{4000000000083676805 + number}",
        "SizeBytes": 6,
        "StreamViewType": "NEW_IMAGE",
    }
    if name == "REMOVE":
        del told["NewImage"]
    return {
        "eventID": f"aadf063d99e89af53c4212e558d681b{number}",
        "eventName": name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": told,
        "eventSourceARN": STREAM,
    }


def event(*records: dict[str, Any]) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(json.dumps({"Records": records})))


async def handle(sns: FakeSns, *records: dict[str, Any], seconds: float = SECONDS) -> list[str]:
    """The sequence numbers to come again."""
    function = RelayFunction(Topic(cast(Any, sns), "topic"), "headrace-events")
    answer = await function.handle(event(*records), seconds)
    assert set(answer) == {"batchItemFailures"}
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def published(sns: FakeSns) -> list[str]:
    return [f"{c.stream}@{c.first}" for call in sns.calls for entry in call for c in read_commits(entry["Message"]).commits]


def streams_of_other_groups(count: int) -> list[str]:
    found: dict[int, str] = {}
    for number in range(1000):
        found.setdefault(partition_of(cast(Any, f"thing-{number}"), GROUPS), f"thing-{number}")
    return [found[group] for group in sorted(found)][:count]


async def test_a_batch_is_published_and_nothing_comes_again() -> None:
    sns = FakeSns()
    assert await handle(sns, record(1, "thing-a"), record(2, "thing-a", 2), record(3, "thing-b")) == []
    assert sorted(published(sns)) == ["thing-a@1", "thing-a@2", "thing-b@1"]


async def test_changes_removals_and_foreign_items_are_passed_over_beside_appends() -> None:
    foreign = record(4, "thing-d")
    foreign["dynamodb"]["NewImage"] = {"id": {"S": "x"}, "n": {"N": "1"}, "b": {"B": "AAEC"}, "l": {"L": [{"BOOL": True}, {"NULL": True}]}}
    sns = FakeSns()
    records = (record(1, "thing-a"), record(2, "thing-b", name="MODIFY"), record(3, "thing-c", name="REMOVE"), foreign)
    assert await handle(sns, *records) == []
    assert published(sns) == ["thing-a@1"]


async def test_an_entry_that_fails_for_good_makes_its_first_record_come_again() -> None:
    streams = streams_of_other_groups(4)
    sns = FakeSns([{2}, {0}, {0}, {0}])
    records = [record(n, stream) for n, stream in enumerate(streams)] + [record(9, streams[2], 2)]
    assert await handle(sns, *records) == [records[2]["dynamodb"]["SequenceNumber"]]
    assert {stream.partition("@")[0] for stream in published(sns)} == set(streams)


async def test_an_entry_that_fails_once_is_tried_again_under_the_same_id() -> None:
    sns = FakeSns([{0}])
    assert await handle(sns, record(1, "thing-a")) == []
    assert len({call[0]["MessageDeduplicationId"] for call in sns.calls}) == 1


@pytest.mark.parametrize("code", ["Throttling", "InternalError", "NotFound"])
async def test_a_call_that_fails_makes_the_whole_batch_come_again(code: str) -> None:
    sns = FakeSns([refused(code)] * 9)
    assert await handle(sns, record(1, "thing-a"), record(2, "thing-b")) == [record(1, "thing-a")["dynamodb"]["SequenceNumber"]]


async def test_what_was_not_begun_for_a_failure_before_it_comes_again_too() -> None:
    """More than one call's worth of one group: the second waits for the first."""
    big = [record(n, "thing-a", n, size=MAX_BYTES // 3) for n in range(1, 6)]
    sns = FakeSns([set(), {0}, {0}, {0}, {0}])
    again = await handle(sns, *big)
    assert len(again) == 1
    first_left = next(n for n, each in enumerate(big) if each["dynamodb"]["SequenceNumber"] == again[0])
    assert 0 < first_left < len(big) - 1
    assert all(f"thing-a@{n}" in published(sns) for n in range(1, first_left + 1))
    assert f"thing-a@{len(big)}" not in published(sns)


async def test_a_commit_that_sns_refuses_goes_as_a_stub() -> None:
    sns = FakeSns([refused("InvalidParameter")])
    assert await handle(sns, record(1, "thing-a", 7)) == []
    (stub,) = read_commits(sns.calls[-1][0]["Message"]).stubs
    assert (stub.stream, stub.first) == ("thing-a", 7)
    assert await handle(FakeSns([refused("InvalidParameter")] * 2), record(1, "thing-a")) != []


async def test_without_time_nothing_is_begun() -> None:
    sns = FakeSns()
    assert len(await handle(sns, record(1, "thing-a"), seconds=0)) == 1
    assert not sns.calls


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"Records": [{"body": "a parcel", "eventSource": "aws:sqs"}]},
        {"Records": [record(1, "thing-a") | {"eventSourceARN": STREAM.replace("headrace", "other")}]},
    ],
)
def test_what_is_not_of_our_stream_is_refused_as_a_whole(wrong: dict[str, Any]) -> None:
    with pytest.raises(ForeignEvent):
        _records(wrong, "headrace-events")
