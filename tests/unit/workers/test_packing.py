"""A page of records becomes publish calls: nothing lost, nothing twice, each partition in its order, nothing SNS would refuse."""

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from events.dynamo_items import to_item
from events.envelope import ENCODER, Commit, Recorded
from events.ids import CommandId, Fingerprint, StreamId, Version, partition_of
from events.parcel import MAX_BYTES, CommitParcel, Stub, read_commits
from runtime.times import Micros
from workers.packing import Page, plan, read_page

PARTITIONS = 4


def commit(stream: str, first: int, size: int = 10, text: str = "x") -> Commit:
    data = Raw(ENCODER.encode({"text": text * size}))
    recorded = Recorded("e.v1", data, Micros(first), "ann", CommandId(f"k{first}"), Fingerprint("f"))
    return Commit(StreamId(stream), Version(first), Version(first), Version(first - 1), Raw(ENCODER.encode([recorded])))


def record(image: dict[str, Any], name: str = "INSERT") -> dict[str, Any]:
    return {"eventName": name, "dynamodb": {"NewImage": image, "SequenceNumber": "1"}}


def read(rounds: Any) -> list[CommitParcel]:
    return [read_commits(parcel.body) for calls in rounds for call in calls for parcel in call]


idents = st.one_of(st.integers(0, 9).map(str), st.integers(0, 9).map(lambda n: f"{n}" * 128))
sizes = st.one_of(st.integers(1, 500), st.integers(20_000, 90_000), st.integers(200_000, 270_000))
streams = st.builds(lambda ident, tenant: f"{tenant}thing-{ident}", idents, st.sampled_from(["", "t" * 128 + "/"]))
commits = st.lists(st.tuples(streams, sizes, st.sampled_from("x\uffff")), max_size=14)
stubs = st.lists(st.tuples(streams, st.integers(100, 2**62)), max_size=3)


@given(commits, stubs)
@settings(max_examples=60, deadline=None)
def test_every_commit_leaves_once_in_its_partitions_order(said: list[tuple[str, int, str]], unread: list[tuple[str, int]]) -> None:
    page = Page([commit(s, n + 1, size, text) for n, (s, size, text) in enumerate(said)], [], 0)
    page.stubs.extend(Stub(StreamId(s), Version(first), Version(first)) for s, first in unread)
    rounds = plan(page, PARTITIONS)
    went: dict[int, list[Any]] = defaultdict(list)
    for parcel in read(rounds):
        went[parcel.partition] += [each.first for each in parcel.commits]
        names = [*(each.stream for each in parcel.commits), *(each.stream for each in parcel.stubs)]
        assert all(partition_of(name, PARTITIONS) == parcel.partition for name in names)
    stood_for = {(stub.stream, stub.first) for parcel in read(rounds) for stub in parcel.stubs}
    asked: dict[int, list[Any]] = defaultdict(list)
    for each in page.commits:
        if (each.stream, each.first) not in stood_for:
            asked[partition_of(each.stream, PARTITIONS)].append(each.first)
    assert {k: v for k, v in went.items() if v} == {k: v for k, v in asked.items() if v}
    oversize = sum(1 for size, text in ((size, text) for _, size, text in said) if size * len(ENCODER.encode(text)[1:-1]) > MAX_BYTES)
    assert oversize <= len(stood_for) <= len(said) + len(set(unread))
    assert {(StreamId(s), first) for s, first in unread} <= stood_for


@given(commits, st.integers(0, 1_000))
@settings(max_examples=40, deadline=None)
def test_no_call_is_more_than_sns_takes(said: list[tuple[str, int, str]], unread: int) -> None:
    page = Page([commit(s, n + 1, size, text) for n, (s, size, text) in enumerate(said)], [], 0)
    name = StreamId(f"{'t' * 128}/{'k' * 64}-{'i' * 128}")
    page.stubs.extend(Stub(name, Version(2**62 + n), Version(2**62 + n)) for n in range(unread))
    for calls in plan(page, PARTITIONS):
        inside = [parcel.partition for call in calls for parcel in call]
        assert len(inside) == len(set(inside))  # one parcel of a partition in flight
        for call in calls:
            assert 1 <= len(call) <= 10
            assert sum(len(parcel.body.encode()) for parcel in call) <= MAX_BYTES
            assert all(parcel.size == len(parcel.body.encode()) for parcel in call)


def test_small_commits_of_a_partition_travel_together() -> None:
    page = Page([commit("thing-1", n) for n in range(1, 101)], [], 0)
    assert [[len(call) for call in calls] for calls in plan(page, 16)] == [[1]]


def test_what_cannot_be_carried_travels_as_a_stub() -> None:
    (parcel,) = read(plan(Page([commit("thing-1", 3, 300_000)], [], 0), PARTITIONS))
    assert (parcel.commits, parcel.stubs) == ([], [Stub(StreamId("thing-1"), Version(3), Version(3))])


def test_a_page_is_its_inserts() -> None:
    item = to_item(commit("thing-1", 1))
    page = read_page([record(item), record(item, "MODIFY"), record({}, "REMOVE"), {}])
    assert (len(page.commits), page.stubs, page.foreign) == (1, [], 3)


def test_a_commit_of_a_newer_format_is_left_to_the_projector() -> None:
    page = read_page([record(to_item(commit("thing-1", 4)) | {"format": {"N": "2"}})])
    assert (page.commits, page.stubs, page.foreign) == ([], [Stub(StreamId("thing-1"), Version(4), Version(4))], 0)


def test_an_item_without_a_streams_name_is_foreign() -> None:
    assert read_page([record({"stream_id": {"S": "not a stream"}, "first_version": {"N": "1"}})]).foreign == 1
    assert read_page([record({"stream_id": {"S": "thing-1"}, "first_version": {"N": "x"}})]).foreign == 1


def test_events_that_are_no_json_spoil_their_own_stream_only() -> None:
    """They would be copied into the parcel as they are and make it unreadable, neighbours and all."""
    for garbage in ('[{"name":', "[]]", "[1]", "", '[{"name":"e.v1","data":{}}]'):
        bad = to_item(commit("thing-2", 1)) | {"events": {"S": garbage}}
        page = read_page([record(to_item(commit("thing-1", 1))), record(bad)])
        assert [each.stream for each in page.commits] == ["thing-1"]
        assert page.stubs == [Stub(StreamId("thing-2"), Version(1), Version(1))]
        assert sum(len(parcel.commits) + len(parcel.stubs) for parcel in read(plan(page, 1))) == 2
