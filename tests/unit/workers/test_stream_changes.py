"""What AWS may do to a stream under its readers: trim it, close it, replace it; and who goes on when a relay is gone."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from runtime.metrics import REGISTRY
from tests.support.fake_streams import refused
from tests.support.stream_world import SECONDS, Item, World
from tests.support.virtual_time import run_virtually
from workers.part import WATCH_SECONDS
from workers.pruning import PRUNE_SECONDS
from workers.walks import ROW

A_LOOK = 70.0  # long enough for the table's stream and its shards to be looked at


def in_a_world(test: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World(1)
        try:
            await test(world)
        finally:
            for process in world.tasks.values():
                await process.kill()

    run_virtually(main())


def why(world: World) -> str:
    return str(world.table.rows.get(ROW, {}).get("walk_why", {}).get("S", ""))


async def seen(world: World, *names: str) -> float:
    """Seconds until all of these were published."""
    began = asyncio.get_running_loop().time()
    while not set(names) <= world.published.keys():
        await asyncio.sleep(0.05)
        assert asyncio.get_running_loop().time() < began + A_LOOK
    return asyncio.get_running_loop().time() - began


async def without_walk(world: World) -> None:
    """A stream just seen for the first time asks for one; later ones are then told apart."""
    await asyncio.sleep(1)
    assert "first time" in why(world)
    del world.table.rows[ROW]


def test_a_stream_of_another_arn_is_read_beside_the_old_one_and_a_walk_is_asked_for() -> None:
    async def test(world: World) -> None:
        old = world.shard()
        world.start("a")
        await without_walk(world)
        last = world.append(old)
        world.new_stream()
        first = world.append(world.open()[0])
        await seen(world, last, first)
        assert "first time" in why(world)
        del world.table.rows[ROW]
        assert world.row(old.id)["shard_ended"]["BOOL"]
        await world.tasks["a"].end()
        world.start("b")
        await seen(world, world.append(world.open()[0]))
        assert not why(world)  # by now it is the same one

    in_a_world(test)


def test_a_stream_that_is_gone_is_left_and_the_next_one_found_within_seconds() -> None:
    async def test(world: World) -> None:
        world.shard()
        world.start("a")
        await without_walk(world)
        gone = world.arn
        world.new_stream()
        del world.streams[gone]
        assert await seen(world, world.append(world.open()[0])) < SECONDS
        assert "first time" in why(world)

    in_a_world(test)


def test_records_trimmed_while_nobody_read_are_passed_over_and_a_walk_is_asked_for() -> None:
    async def test(world: World) -> None:
        shard = world.shard()
        world.start("a")
        await without_walk(world)
        await seen(world, world.append(shard))
        await world.tasks["a"].end()
        lost, left = world.append(shard), world.append(shard)
        shard.trimmed = 2
        world.start("b")
        await seen(world, left)
        assert lost not in world.published
        assert "trimmed" in why(world)

    in_a_world(test)


def test_a_shard_that_vanished_unread_lets_its_children_begin_and_a_walk_is_asked_for() -> None:
    async def test(world: World) -> None:
        parent = world.shard()
        world.start("a")
        await without_walk(world)
        await seen(world, world.append(parent))
        await world.tasks["a"].end()
        world.append(parent)
        world.split(parent, 2)
        del world.slices[parent.id]
        world.start("b")
        await seen(world, *(world.append(each) for each in world.open()))
        assert parent.id in why(world)
        assert world.row(parent.id)["shard_ended"]["BOOL"]

    in_a_world(test)


def test_generations_that_came_and_went_while_nobody_looked_ask_for_a_walk() -> None:
    async def test(world: World) -> None:
        first = world.shard()
        world.start("a")
        await without_walk(world)
        await world.tasks["a"].end()
        world.split(first, 1)
        (second,) = world.open()
        world.split(second, 1)
        del world.slices[first.id], world.slices[second.id]
        world.start("b")
        (third,) = world.open()
        await seen(world, world.append(third))
        assert third.id in why(world)

    in_a_world(test)


def test_rows_of_shards_that_are_gone_are_deleted_once_their_children_are_read() -> None:
    async def test(world: World) -> None:
        parent, other = world.shard(), world.shard()
        world.start("a")
        await asyncio.sleep(1)
        world.split(parent, 1)
        await asyncio.sleep(SECONDS)
        del world.slices[parent.id]
        assert world.row(parent.id)
        await asyncio.sleep(4 * PRUNE_SECONDS)
        assert not world.row(parent.id)
        assert all(world.row(each.id) for each in world.open())
        assert world.row(other.id)["lease_owner"] == {"S": "a"}
        old = world.arn
        world.new_stream()
        await asyncio.sleep(A_LOOK)
        del world.streams[old]
        await asyncio.sleep(4 * PRUNE_SECONDS)
        assert [row for row in world.table.rows.values() if "lease_epoch" in row] == [world.row(world.open()[0].id)]

    in_a_world(test)


def test_after_a_kill_the_other_goes_on_within_a_lease_and_a_bit_after_a_stop_at_once() -> None:
    async def test(world: World) -> None:
        shards = [world.shard() for _ in range(2)]
        for name in ("a", "b", "c"):
            world.start(name)
        await asyncio.sleep(3 * SECONDS)
        owners = [world.row(each.id)["lease_owner"]["S"] for each in shards]
        assert len(set(owners)) == len(shards)
        await world.tasks[owners[0]].kill()
        assert SECONDS / 2 < await seen(world, world.append(shards[0])) < SECONDS + WATCH_SECONDS + 1.5
        await world.tasks[owners[1]].end()
        assert await seen(world, world.append(shards[1])) < WATCH_SECONDS + 1

    in_a_world(test)


def test_a_shard_that_nobody_can_take_is_an_alarm_within_three_lease_times() -> None:
    async def test(world: World) -> None:
        def unread() -> float | None:
            return REGISTRY.get_sample_value("headrace_shards_unread", {"leases": "lease"})

        stuck, put = world.shard(), world.table.put_item

        async def refusing(**call: Item) -> Item:
            if call["Item"]["id"]["S"].endswith(stuck.id):
                raise refused("ConditionalCheckFailedException")
            return await put(**call)

        world.table.put_item = refusing  # type: ignore[method-assign,assignment]
        world.start("a")
        await asyncio.sleep(2.5 * SECONDS)
        assert unread() == 0
        await asyncio.sleep(SECONDS)
        assert unread() == 1
        world.table.put_item = put  # type: ignore[method-assign]
        await seen(world, world.append(stuck))
        await asyncio.sleep(2)
        assert unread() == 0

    in_a_world(test)


def test_a_table_that_is_away_stops_publishing_before_the_lease_lapses_and_it_goes_on_when_it_is_back() -> None:
    async def test(world: World) -> None:
        shard = world.shard()
        world.start("a")
        await seen(world, world.append(shard))
        world.table.away.set()
        await asyncio.sleep(SECONDS)
        waiting = world.append(shard)
        await asyncio.sleep(2 * SECONDS)
        assert waiting not in world.published
        world.table.away.clear()
        assert await seen(world, waiting) < SECONDS

    in_a_world(test)


@pytest.mark.parametrize("paused", [2.0, 4.0, 5.5, 7.0, 8.5, 9.5, 11.0, 15.0, 25.0])
def test_one_that_was_stopped_and_goes_on_publishes_nothing_that_is_anothers_by_now(paused: float) -> None:
    """What it has in hand is held up on its way to SNS; it comes back before, while and after the other takes over."""

    async def test(world: World) -> None:
        shard, names = world.shard(), list[str]()
        for name in ("a", "b"):
            world.start(name)
        await asyncio.sleep(2 * SECONDS)
        for moment in range(6):
            owner = world.tasks[world.row(shard.id)["lease_owner"]["S"]]
            names += [world.append(shard) for _ in range(3)]
            await asyncio.sleep(moment * 0.02)
            owner.gate.clear()
            names.append(world.append(shard))
            await asyncio.sleep(paused)
            owner.gate.set()
            await asyncio.sleep(SECONDS)
        await seen(world, *names)
        assert not world.wrong
        assert world.table.changes > 1 or paused < SECONDS

    in_a_world(test)
