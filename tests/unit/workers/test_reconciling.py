"""What the trail takes for missing: everything that was lost, and nothing that is only late."""

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from events.ids import StreamId, Version, partition_of
from events.parcel import Stub
from workers.packing import GROUPS
from workers.reconciling import (
    BACKLOG,
    CONFIRM_SECONDS,
    GRACE_SECONDS,
    MOST_TIMES,
    MOST_WAITING,
    REST_SECONDS,
    Evidence,
    Missing,
    Trail,
    streams_of,
)

SHARD = "shard-1"
PROJECTORS = ("rds", "cache")
IDLE = dict.fromkeys(PROJECTORS, 0)
STREAMS = [StreamId(f"comment-{number}") for number in range(24)]


@dataclass
class World:
    """One shard, a relay that may lose what it publishes, and projectors that take their groups in order, at any pace."""

    chance: Random
    loses: float
    now: float = 0.0
    stored: list[Stub] = field(default_factory=list)
    relayed: int = 0
    read: int = 0
    positions: dict[str, dict[StreamId, int]] = field(default_factory=lambda: {name: {} for name in PROJECTORS})
    queues: dict[tuple[str, int], deque[Stub]] = field(default_factory=dict)
    lost: set[Stub] = field(default_factory=set)
    sent_again: dict[Stub, list[float]] = field(default_factory=dict)
    checkpoints: list[int] = field(default_factory=lambda: [0])
    trail: Trail = field(default_factory=Trail)

    def __post_init__(self) -> None:
        self.trail.begin(SHARD, "0")

    def append(self) -> None:
        stream = self.chance.choice(STREAMS)
        first = 1 + max((each.last for each in self.stored if each.stream == stream), default=0)
        self.stored.append(Stub(stream, Version(first), Version(first + self.chance.randrange(2))))

    def relay(self) -> None:
        for each in self.stored[self.relayed :]:
            for name in PROJECTORS:
                if self.chance.random() < self.loses:
                    self.lost.add(each)
                else:
                    self.queue(name, each).append(each)
        self.relayed = len(self.stored)

    def queue(self, name: str, each: Stub) -> deque[Stub]:
        return self.queues.setdefault((name, partition_of(each.stream, GROUPS)), deque())

    def project(self, name: str, most: int) -> None:
        """A hole is filled from the store up to what came; the cache waits for PostgreSQL."""
        for (whose, _), queue in self.queues.items():
            for _ in range(self.chance.randrange(most + 1) if whose == name else 0):
                if not queue or (name == "cache" and self.positions["rds"].get(queue[0].stream, 0) < queue[0].last):
                    break
                each = queue.popleft()
                self.positions[name][each.stream] = max(each.last, self.positions[name].get(each.stream, 0))

    def trail_reads(self) -> None:
        page = self.stored[self.read : self.relayed][: self.chance.randrange(1, 30)]
        if page:
            self.read += len(page)
            self.trail.see(SHARD, [(each, self.now + GRACE_SECONDS, PROJECTORS) for each in page], str(self.read))

    def look(self) -> list[Missing]:
        """Positions are read in two parts, and everybody goes on between all steps."""
        asked = self.trail.due(self.now)
        streams = streams_of(asked)
        standings: dict[StreamId, dict[str, int]] = {}
        for part in (streams[::2], streams[1::2]):
            standings |= {stream: {name: self.positions[name].get(stream, 0) for name in PROJECTORS} for stream in part}
            self.project(self.chance.choice(PROJECTORS), 3)
        left = self.trail.weigh(asked, standings)
        relayed = {SHARD: str(self.relayed)}
        self.project(self.chance.choice(PROJECTORS), 3)
        depths = {name: sum(len(queue) for (whose, _), queue in self.queues.items() if whose == name) for name in PROJECTORS}
        found = self.trail.judge(self.now, left, Evidence(relayed, depths))
        self.checkpoints.append(int(self.trail.checkpoint(SHARD)))
        return found

    def publish(self, found: list[Missing]) -> None:
        self.trail.published(self.now, found)
        for each, *_ in found:
            self.sent_again.setdefault(each.stub, []).append(self.now)
            for name in PROJECTORS:
                self.queue(name, each.stub).append(each.stub)

    def passed(self) -> bool:
        return all(self.positions[name].get(each.stream, 0) >= each.last for each in self.stored for name in PROJECTORS)

    def step(self, paces: dict[str, int]) -> None:
        for _ in range(self.chance.randrange(4)):
            self.append()
        if self.chance.random() < 0.7:
            self.relay()
        for name, pace in paces.items():
            self.project(name, pace)
        self.trail_reads()
        self.now += self.chance.random() * 4
        self.publish(self.look())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0, 1, 3]), st.sampled_from([0, 1, 3]))
def test_whoever_only_lags_gets_nothing_again(seed: int, rds: int, cache: int) -> None:
    world = World(Random(seed), loses=0.0)
    for _ in range(120):
        world.step({"rds": rds, "cache": cache})
    for _ in range(40):
        world.step({"rds": 3, "cache": 3})
    assert world.sent_again == {}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.02, 0.3, 1.0]), st.sampled_from([1, 4]))
def test_whatever_was_lost_arrives_and_nothing_else_is_sent_again(seed: int, loses: float, pace: int) -> None:
    world = World(Random(seed), loses)
    for _ in range(60):
        world.step({"rds": pace, "cache": pace})
    world.loses = 0.0
    for _ in range(60):
        world.relay()
        for name in PROJECTORS:
            world.project(name, 30)
        world.trail_reads()
        world.now += CONFIRM_SECONDS
        world.publish(world.look())
    assert world.passed()
    assert len(world.trail) == 0
    assert world.checkpoints == sorted(world.checkpoints)
    assert world.checkpoints[-1] == len(world.stored)
    assert world.sent_again.keys() <= world.lost
    for times in world.sent_again.values():
        assert all(later - earlier >= REST_SECONDS for earlier, later in pairwise(times))


def seen(*streams: str, now: float = 0.0) -> Trail:
    trail = Trail(most=len(streams))
    trail.begin(SHARD, "7")
    trail.see(SHARD, [(Stub(StreamId(each), Version(1), Version(1)), now + GRACE_SECONDS, PROJECTORS) for each in streams], "9")
    return trail


def test_a_young_commit_is_nobodys_business_yet() -> None:
    trail = seen("comment-a")
    assert trail.due(GRACE_SECONDS - 1) == []
    assert [each.stub.stream for each in trail.due(GRACE_SECONDS)] == ["comment-a"]
    assert trail.checkpoint(SHARD) == "7"


def test_a_full_trail_says_so_until_something_is_passed() -> None:
    trail = seen("comment-a", "comment-b")
    shown = [(trail.full, trail.checkpoint(SHARD))]
    for stream in ("comment-a", "comment-b"):
        trail.weigh(trail.due(40), {StreamId(stream): {"rds": 1, "cache": 1}})
        shown.append((trail.full, trail.checkpoint(SHARD)))
    assert shown == [(True, "7"), (False, "7"), (False, "9")]


def judged(trail: Trail, now: float, evidence: Evidence) -> list[Missing]:
    return trail.judge(now, trail.weigh(trail.due(now), {StreamId("comment-a"): {"rds": 1}}), evidence)


def test_an_empty_queue_says_nothing_before_the_relay_was_there() -> None:
    trail = seen("comment-a")
    for relayed in ({SHARD: "8"}, {SHARD: ""}, {}):
        for now in (40, 50, 60):
            assert judged(trail, now, Evidence(relayed, IDLE)) == []
    assert judged(trail, 90, Evidence({SHARD: "9"}, IDLE)) == []
    assert [each.projectors for each in judged(trail, 100, Evidence({SHARD: None}, IDLE))] == [("cache",)]


def test_a_cache_that_waits_for_postgresql_misses_nothing() -> None:
    trail = seen("comment-a")
    for now in (40, 50, 60):
        left = trail.weigh(trail.due(now), {})
        assert trail.judge(now, left, Evidence({SHARD: "9"}, {"cache": 0})) == []


def test_a_queue_that_filled_again_in_between_must_be_seen_empty_twice_anew() -> None:
    trail = seen("comment-a")
    empty, busy = Evidence({SHARD: "9"}, IDLE), Evidence({SHARD: "9"}, {"rds": 0, "cache": 1})
    assert judged(trail, 40, empty) == []
    assert judged(trail, 50, busy) == []
    assert judged(trail, 60, empty) == []
    assert judged(trail, 60 + CONFIRM_SECONDS, empty) != []


def test_whoever_is_overtaken_while_much_waits_is_left_to_wait() -> None:
    trail = seen("comment-a", "comment-a")
    trail.due(40)[0].stub = Stub(StreamId("comment-z"), Version(1), Version(1))  # another stream of the same group, never passed
    standings = {StreamId("comment-a"): {"rds": 1, "cache": 1}}
    for now, depth in ((40, BACKLOG + 1), (50, BACKLOG + 1), (60, BACKLOG)):
        evidence = Evidence({}, dict.fromkeys(PROJECTORS, depth))
        assert trail.judge(now, trail.weigh(trail.due(now), standings), evidence) == []
    [missing] = trail.judge(70, trail.weigh(trail.due(70), standings), evidence)
    assert (missing.projectors, missing.overtaken) == (("rds",), True)


def test_what_never_heals_is_published_ever_more_rarely_and_then_given_up() -> None:
    trail, now, times = seen("comment-a"), 40.0, []
    while len(trail):
        found = judged(trail, now, Evidence({SHARD: "9"}, IDLE))
        if found and found[0].hopeless:
            trail.give_up(found)
        elif found:
            trail.published(now, found)
            times.append(now)
        now += CONFIRM_SECONDS
    assert len(times) == MOST_TIMES
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(gap >= REST_SECONDS * 2**number for number, gap in enumerate(gaps))
    assert trail.checkpoint(SHARD) == "9"


def test_a_shard_that_is_somebody_elses_is_forgotten() -> None:
    trail = seen("comment-a", "comment-b")
    asked = trail.due(40)
    trail.drop(SHARD)
    assert (len(trail), trail.due(50)) == (0, [])
    assert trail.weigh(asked, {}) == []
    trail.begin(SHARD, "7")
    assert trail.checkpoint(SHARD) == "7"


def test_commits_that_all_have_passed_leave_nothing_behind_however_fast_they_come() -> None:
    trail, looks = Trail(), 40
    trail.begin(SHARD, "0")
    stands = {"rds": 1, "cache": 1}
    for look in range(looks):
        streams = [StreamId(f"comment-{look}-{number}") for number in range(2 * MOST_WAITING)]
        trail.see(SHARD, [(Stub(stream, Version(1), Version(1)), float(look), PROJECTORS) for stream in streams], str(look + 1))
        asked = trail.due(float(look))
        assert {each.stub.stream for each in asked} >= set(streams)
        trail.weigh(asked, dict.fromkeys(streams, stands))
        assert len(trail) == 0
        assert len(trail._waiting) <= 2 * MOST_WAITING
    assert trail.checkpoint(SHARD) == str(looks)


def test_those_that_wait_are_asked_about_in_turn_whoever_has_passed_meanwhile() -> None:
    trail = Trail()
    trail.begin(SHARD, "0")
    streams = [StreamId(f"comment-{number}") for number in range(3 * MOST_WAITING)]
    trail.see(SHARD, [(Stub(stream, Version(1), Version(1)), 0.0, PROJECTORS) for stream in streams], "1")
    passed = {stream: {"rds": 1, "cache": 1} for stream in streams[: 2 * MOST_WAITING]}
    assert len(trail.weigh(trail.due(0.0), passed)) == MOST_WAITING
    assert [each.stub.stream for each in trail.due(1.0)] == streams[2 * MOST_WAITING :]
