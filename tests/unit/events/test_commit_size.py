"""A commit's units, worked out quickly, are those of its item."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from events.dynamo_items import to_item
from events.envelope import Commit, Settled
from events.ids import CommandId, Fingerprint, StreamId, Version
from events.item_size import commit_size, commit_units
from runtime.item_size import item_size, write_units

VERSIONS = st.integers(0, 10**18).map(Version)
SETTLED = st.builds(
    Settled, st.text().map(CommandId), st.text(), st.text(max_size=16).map(Fingerprint), VERSIONS, st.text(max_size=30), st.text()
)
BODIES = st.one_of(st.text(), st.integers(850, 1100).map(lambda count: "x" * count), st.integers(1, 5000).map(lambda count: "é" * count))


def commit(stream: str, body: str, versions: tuple[int, int, int] = (1, 1, 0), settled: tuple[Settled, ...] = ()) -> Commit:
    first, last, previous = map(Version, versions)
    return Commit(StreamId(stream), first, last, previous, Raw(body.encode()), settled)


@given(st.text(max_size=300), BODIES, st.tuples(VERSIONS, VERSIONS, VERSIONS), st.lists(SETTLED, max_size=3).map(tuple))
@example("😀" * 200, "", (1, 1, 0), ())
def test_the_quick_way_agrees_with_the_item(stream: str, body: str, versions: tuple[int, int, int], settled: tuple[Settled, ...]) -> None:
    one = commit(stream, body, versions, settled)
    assert commit_size(one) == item_size(to_item(one))
    assert commit_units(one) == write_units(item_size(to_item(one)))


@pytest.mark.parametrize("versions", [(1, 1, 0), (10**18 - 1, 10**18 - 1, 10**18 - 3)])
@pytest.mark.parametrize("stream", ["comment-1", "😀" * 60, "é" * 150])
def test_a_kilobyte_is_the_border(stream: str, versions: tuple[int, int, int]) -> None:
    room = 1024 - commit_size(commit(stream, "", versions))
    assert [commit_units(commit(stream, "x" * size, versions)) for size in (0, room, room + 1)] == [1, 1, 2]
