"""A walk through a store of a few pages, on a clock that jumps: what it publishes again, and what it leaves alone."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from events.ids import StreamId, Version
from events.memory_store import MemoryStore
from events.parcel import Stub, read_commits
from runtime.errors import Retryable
from tests.support.fake_streams import FakeSns
from tests.support.virtual_time import run_virtually
from workers.reconciling import CONFIRM_SECONDS
from workers.republishing import Republisher
from workers.walking import BATCH, Patience, Sight, Walk, Walked, lacking

PASSED = {"rds": 9, "cache": 9, "amqp": 9}
LOST = {"rds": 0, "cache": 0}
PATIENCE = Patience(drain=20, settle=20)


def nothing() -> None:
    """Happens."""


@dataclass
class World:
    """`segments`: pages of the store; `standings`: of streams that are not there everybody has passed all."""

    segments: list[list[list[Stub] | Exception]]
    standings: dict[str, dict[str, int]] = field(default_factory=dict)
    depth: int = 0
    arrives: bool = True
    meanwhile: Callable[[], None] = nothing
    """Happens whenever somebody looks at a queue."""
    looks: int = 0
    sns: FakeSns = field(default_factory=FakeSns)

    async def scan(self, segment: int, segments: int) -> AsyncIterator[list[Stub]]:
        for page in [page for part in self.segments[segment::segments] for page in part]:
            if isinstance(page, Exception):
                raise page
            yield page

    async def of(self, wanted: Sequence[StreamId]) -> Mapping[StreamId, Mapping[str, int]]:
        return {stream: self.standings.get(stream, PASSED) for stream in wanted}

    async def depths(self, projectors: Collection[str]) -> dict[str, int]:
        self.looks += 1
        self.meanwhile()
        return dict.fromkeys(projectors, self.depth)

    def sent(self) -> list[Stub]:
        return [each for call in self.sns.calls for entry in call for each in read_commits(entry["Message"]).stubs]

    def walked(self, projectors: Sequence[str] = ("rds", "cache"), since: float | None = None) -> Walked:
        def deliver() -> None:
            for each in self.sent() if self.arrives else []:
                self.standings[each.stream] = PASSED

        self.sns = FakeSns(seen=deliver)
        republisher = Republisher(cast(Any, self.sns), "topic", a_second=1e9)
        sight = Sight(self, MemoryStore(), self, self, since)
        return run_virtually(Walk(sight, republisher, projectors, PATIENCE).run())


def head(name: str, first: int = 1) -> Stub:
    return Stub(StreamId(f"thing-{name}"), Version(first), Version(first))


def test_where_everybody_passed_everything_streams_are_counted_and_no_queue_is_looked_at() -> None:
    world = World([[[head("a"), head("b")], [head("b", 2)]], [[], [head("c")]]])
    assert world.walked() == Walked(streams=3)
    assert (world.looks, world.sent()) == (0, [])


def test_what_somebody_misses_is_published_as_the_streams_newest_commit_and_heals() -> None:
    world = World([[[head("a", 1), head("a", 2)], [head("a", 3)]], [[head("b")]]], {"thing-a": LOST, "thing-b": {"rds": 1, "cache": 0}})
    walked = world.walked()
    assert (walked.missing, walked.republished, walked.healed, walked.ok) == (Counter(rds=1, cache=1), 2, 2, True)
    assert {(each.stream, each.last) for each in world.sent()} == {("thing-a", 3), ("thing-b", 1)}


def test_a_queue_that_never_empties_leaves_its_projector_behind_and_nothing_is_published() -> None:
    world = World([[[head("a"), head("b")]]], {"thing-a": LOST, "thing-b": LOST}, depth=1)
    walked = world.walked()
    assert (walked.behind, walked.ok, walked.republished) == (Counter(rds=2), False, 0)
    assert world.looks > CONFIRM_SECONDS


def test_whatever_comes_late_but_before_the_second_look_is_not_missing() -> None:
    world = World([[[head("a")]]], {"thing-a": LOST})

    def arrive() -> None:
        if world.looks == CONFIRM_SECONDS:
            world.standings = {}

    world.meanwhile = arrive
    assert world.walked() == Walked(streams=1)


def test_what_does_not_arrive_in_time_is_named() -> None:
    world = World([[[head("a"), head("b")]]], {"thing-a": LOST}, arrives=False)
    walked = world.walked()
    assert (walked.republished, walked.healed, walked.unhealed, walked.ok) == (1, 0, ["thing-a"], False)


def test_many_are_judged_in_batches_and_all_are_found() -> None:
    names = [f"{number}" for number in range(BATCH + 300)]
    pages = [[head(each) for each in names[start : start + 1000]] for start in range(0, len(names), 1000)]
    world = World([cast(Any, pages[::2]), cast(Any, pages[1::2])], {f"thing-{each}": LOST for each in names})
    walked = world.walked()
    assert (walked.streams, walked.healed, walked.ok) == (len(names), len(names), True)
    assert len({each.stream for each in world.sent()}) == len(names)


def test_one_segment_that_cannot_be_read_ends_the_walk() -> None:
    world = World([[[head("a")]], [Retryable("no answer")]], {"thing-a": LOST})
    with pytest.raises(Retryable, match="no answer"):
        world.walked()


def test_a_projector_lacks_nothing_that_the_one_before_it_lacks() -> None:
    assert lacking(head("a", 2), {"rds": 1, "cache": 0, "amqp": 2}, ("rds", "cache", "amqp")) == ["rds"]
    assert lacking(head("a", 2), {"rds": 2, "cache": 1}, ("rds", "cache", "amqp")) == ["cache", "amqp"]
    assert lacking(head("a", 2), {"rds": 2, "cache": 2}, ("rds", "cache")) == []
