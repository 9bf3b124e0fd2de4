"""The trail's way with a page: what it asks about, what it publishes again, and how far it lets the checkpoint move."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from events.dynamo_items import to_item
from events.envelope import Commit
from events.ids import StreamId
from events.parcel import Stub, read_commits
from runtime.errors import Fatal, Retryable
from tests.support.fake_streams import FakeSns, refused
from tests.support.fake_table import FakeTable
from tests.unit.workers.test_packing import commit
from workers import trailing
from workers.keeping import Held
from workers.lease import LeaseLost, Leases
from workers.reconciling import CONFIRM_SECONDS, MOST_TIMES, REST_SECONDS, Trail
from workers.republishing import Republisher
from workers.trailing import Sight, Trailing

AGO = timedelta(minutes=10)
SHARD = "trail#s"


@dataclass
class World:
    """What the trail looks at, and the clock it goes by."""

    standings: dict[str, dict[str, int]] = field(default_factory=dict)
    checkpoint: str | None = "999"
    away: Exception | None = None
    now: float = 1000.0
    asked: list[set[str]] = field(default_factory=list)

    async def of(self, wanted: Sequence[StreamId]) -> Mapping[StreamId, Mapping[str, int]]:
        if self.away is not None:
            raise self.away
        return {stream: self.standings.get(stream, {}) for stream in wanted}

    async def depths(self, projectors: Collection[str]) -> dict[str, int]:
        self.asked.append(set(projectors))
        return dict.fromkeys(projectors, 0)


class Checkpoints:
    def __init__(self, world: World) -> None:
        self._world = world

    async def of(self, shards: Iterable[str]) -> Mapping[str, str | None]:
        return dict.fromkeys(shards, self._world.checkpoint)


class House:
    """One trail on one shard whose lease is ours."""

    def __init__(self, world: World, since: float | None = None, most: int = 100) -> None:
        self.world, self.sns = world, FakeSns()
        republisher = Republisher(cast(Any, self.sns), "topic", a_second=1e9)
        self.trailing = Trailing(Sight(world, Checkpoints(world), world, since), republisher, Trail(most), lambda: world.now)

    async def lease(self) -> Held:
        leases = Leases(cast(Any, FakeTable()), "control", "ann", 30)
        return Held(leases, await leases.take((await leases.read([SHARD]))[SHARD]), lambda _: False)

    async def look(self) -> list[Stub]:
        """What is published in one look, some seconds later."""
        self.world.now += CONFIRM_SECONDS
        before = len(self.sns.calls)
        await self.trailing.look()
        return [each for call in self.sns.calls[before:] for entry in call for each in read_commits(entry["Message"]).stubs]


def record(number: int, each: Commit, ago: timedelta = AGO) -> dict[str, Any]:
    data = {"NewImage": to_item(each), "SequenceNumber": str(number), "ApproximateCreationDateTime": datetime.now(UTC) - ago}
    return {"eventName": "INSERT", "dynamodb": data}


A, B = commit("thing-a", 1), commit("thing-b", 1)


async def test_what_everybody_passed_is_let_go_without_a_look_at_any_queue() -> None:
    house = House(World({"thing-a": {"rds": 1, "cache": 1}}))
    lease = await house.lease()
    assert await house.trailing.take([record(7, A)], lease) == ""
    assert await house.look() == []
    lease.leaving.set()
    assert (await house.trailing.take([], lease), house.world.asked) == ("7", [])


async def test_what_is_missing_is_published_again_as_a_stub_and_let_go_when_it_arrived() -> None:
    house = House(World())
    lease = await house.lease()
    await house.trailing.take([record(7, A), record(8, B)], lease)
    assert await house.look() == []
    assert {each.stream for each in await house.look()} == {"thing-a", "thing-b"}
    assert await house.look() == []
    house.world.standings = {"thing-a": {"rds": 1, "cache": 1}}
    await house.look()
    lease.leaving.set()
    assert await house.trailing.take([], lease) == ""
    house.world.standings["thing-b"] = {"rds": 1, "cache": 1}
    await house.look()
    assert await house.trailing.take([], lease) == "8"


async def test_every_message_has_an_id_that_sns_never_saw() -> None:
    house = House(World())
    await house.trailing.take([record(7, A)], await house.lease())
    for _ in range(40):
        await house.look()
    ids = [entry["MessageDeduplicationId"] for call in house.sns.calls for entry in call]
    assert len(ids) == len(set(ids)) > 1


async def test_several_commits_of_a_stream_travel_as_their_newest() -> None:
    house = House(World())
    await house.trailing.take([record(n, commit("thing-a", n)) for n in (1, 3, 2)], await house.lease())
    await house.look()
    assert [(each.first, each.last) for each in await house.look()] == [(3, 3)]


async def test_rabbitmq_is_owed_what_was_stored_since_its_queue_was_made() -> None:
    since = (datetime.now(UTC) - AGO / 2).timestamp()
    house = House(World({name: {"rds": 1, "cache": 1} for name in ("thing-a", "thing-b")}), since)
    await house.trailing.take([record(7, A), record(8, B, AGO / 4)], await house.lease())
    await house.look()
    assert [each.stream for each in await house.look()] == ["thing-b"]


async def test_old_records_that_come_again_are_known() -> None:
    house = House(World())
    lease = await house.lease()
    for _ in range(3):
        await house.trailing.take([record(7, A)], lease)
    await house.look()
    assert len(await house.look()) == 1


async def test_a_new_lease_on_the_shard_begins_at_its_checkpoint() -> None:
    house = House(World())
    await house.trailing.take([record(7, A)], await house.lease())
    await house.trailing.take([record(7, A)], await house.lease())
    await house.look()
    assert len(await house.look()) == 1


async def test_a_lease_that_is_no_longer_ours_ends_all_interest_in_its_shard() -> None:
    house = House(World())
    lease = await house.lease()
    await house.trailing.take([record(7, A)], lease)
    await house.look()
    lease._row = cast(Any, type(lease._row))(SHARD)  # as if its time had run out
    assert await house.look() == []
    assert house.world.asked == [{"rds", "cache"}]


async def test_a_full_trail_reads_on_only_when_there_is_room() -> None:
    house = House(World(), most=1)
    lease = await house.lease()
    taking = asyncio.ensure_future(house.trailing.take([record(7, A)], lease))
    done, _ = await asyncio.wait([taking], timeout=0.1)
    assert not done
    lease.leaving.set()
    assert await taking == ""


@pytest.mark.parametrize("away", [Retryable("PostgreSQL is away"), Fatal("no such queue")])
async def test_a_look_that_fails_loses_nothing(away: Exception) -> None:
    house = House(World(away=away))
    await house.trailing.take([record(7, A)], await house.lease())
    with pytest.raises(type(away)):
        await house.look()
    house.world.away = None
    await house.look()
    assert len(await house.look()) == 1


async def test_what_sns_did_not_take_is_published_in_a_later_look() -> None:
    house = House(World())
    await house.trailing.take([record(7, A)], await house.lease())
    await house.look()
    house.sns._answers = [refused("Throttling")] * 4
    with pytest.raises(Retryable):
        await house.look()
    assert len(await house.look()) == 1


async def test_what_never_arrives_is_given_up_and_holds_nobody_back() -> None:
    house = House(World())
    lease = await house.lease()
    await house.trailing.take([record(7, A)], lease)
    sent = 0
    for _ in range(10 * 2**MOST_TIMES):
        house.world.now += REST_SECONDS / 10
        sent += len(await house.look())
    lease.leaving.set()
    assert (sent, await house.trailing.take([], lease)) == (MOST_TIMES, "7")


async def test_a_lease_that_lapsed_for_a_look_and_was_renewed_after_all_is_given_up_not_stumbled_over() -> None:
    house = House(World(), most=1)
    lease = await house.lease()
    taking = asyncio.ensure_future(house.trailing.take([record(7, A)], lease))
    await asyncio.wait([taking], timeout=0.05)
    row, lease._row = lease._row, cast(Any, type(lease._row))(SHARD)
    await house.look()
    lease._row = row
    lease.leaving.set()
    with pytest.raises(LeaseLost):
        await taking


async def test_a_look_at_what_does_not_answer_ends_with_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    class Frozen(World):
        async def of(self, wanted: Sequence[StreamId]) -> Mapping[StreamId, Mapping[str, int]]:  # noqa: ARG002 - it never answers
            looked.set()
            await asyncio.Event().wait()
            raise AssertionError

    looked, stop = asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(trailing, "LOOK_SECONDS", 0.01)
    house = House(Frozen())
    await house.trailing.take([record(7, A)], await house.lease())
    house.world.now += 100
    running = asyncio.ensure_future(house.trailing.run(stop))
    await looked.wait()
    stop.set()
    async with asyncio.timeout(1):
        await running
