"""The order in which a stream's shards may be read, over random families of them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from workers.shards import Progress, Shard, readable

ENDED = Progress("9", ended=True)


@st.composite
def families(draw: st.DrawFn) -> list[Shard]:
    """Parents among earlier shards, or such as are long gone."""
    count = draw(st.integers(1, 12))
    parents = [draw(st.sampled_from(["", "gone", *(f"s{m:02}" for m in range(n))])) for n in range(count)]
    return draw(st.permutations([Shard(f"s{n:02}", parent) for n, parent in enumerate(parents)]))


@given(families(), st.data())
@settings(max_examples=200, deadline=None)
def test_no_child_before_its_parents_end_and_every_shard_in_the_end(shards: list[Shard], data: st.DataObject) -> None:
    progress: dict[str, Progress] = {}
    listed = {shard.id for shard in shards}
    order = []
    while now := readable(shards, progress):
        for shard in now:
            assert shard.parent not in listed or progress[shard.parent].ended
        chosen = data.draw(st.sampled_from(now))
        order.append(chosen.id)
        progress[chosen.id] = ENDED
    assert sorted(order) == sorted(listed)


@given(families())
@settings(deadline=None)
def test_a_shard_being_read_stays_readable_and_its_children_wait(shards: list[Shard]) -> None:
    before = readable(shards, {})
    assert readable(shards, {shard.id: Progress("5") for shard in before}) == before


def test_children_of_a_shard_that_is_gone_are_read() -> None:
    assert readable([Shard("b", "a")], {}) == [Shard("b", "a")]
