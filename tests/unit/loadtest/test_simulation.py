"""The simulated way of a command keeps what the real one promises, and its servers and queues are what they say."""

from random import Random

import pytest

from loadtest.model.facts import load_measured
from loadtest.simulation.engine import Clock, Process, Servers, Waits
from loadtest.simulation.queue import FifoQueue, Message
from loadtest.simulation.world import Profile, Sizes, World, profiles

MEASURED = load_measured()


def ran(**words: float) -> World:
    name = "ministack" if words.pop("ministack", 0) else "aws"
    profile: Profile = profiles()[name]
    world = World(Sizes(**{"rate": 300.0, "seconds": 3.0} | words), profile, MEASURED)  # type: ignore[arg-type]
    world.run()
    return world


@pytest.mark.parametrize(
    "more", [{}, {"gateways": 3, "workers": 2, "projectors": 2, "shards": 4, "relays": 2}, {"ministack": 1, "cores": 2}]
)
def test_every_command_gets_through_every_stage_once_and_in_this_order(more: dict[str, float]) -> None:
    world = ran(**more)
    assert not any(world.depths().values())
    assert world.commands.depth == world.rds.depth == world.cache.depth == 0
    stages = [world.arrived, *world.times.values()]
    assert all(list(each) == sorted(each) for each in zip(*stages, strict=True))
    assert 700 < len(world.arrived) < 1_100


def test_the_same_seed_is_the_same_run_and_another_is_not() -> None:
    assert ran(seed=5).told() == ran(seed=5).told()
    assert ran(seed=5).told() != ran(seed=6).told()


def test_commands_of_a_partition_are_appended_in_the_order_in_which_one_gateway_took_them() -> None:
    world = World(Sizes(rate=2_000.0, seconds=2.0, workers=3), profiles()["aws"], MEASURED)
    seen: dict[int, list[int]] = {}
    stored = world.stored

    def noting(commits: list[tuple[int, int]]) -> None:
        for number, partition in commits:
            seen.setdefault(partition, []).append(number)
        stored(commits)

    world.stored = noting  # type: ignore[method-assign]
    world.run()
    assert sum(map(len, seen.values())) == len(world.arrived)
    firsts = {partition: numbers for partition, numbers in seen.items() if numbers != sorted(numbers)}
    assert all(_but_for_calls_side_by_side(numbers, world.profile.append_most) for numbers in firsts.values())


def _but_for_calls_side_by_side(numbers: list[int], most: int) -> bool:
    """Commits of different streams of one batch are appended by calls at once, four at most: an earlier one is never far behind."""
    return all(sum(later < number for later in numbers[at + 1 :]) <= 3 * most for at, number in enumerate(numbers))


def test_a_group_is_held_by_one_receiver_until_it_deletes() -> None:
    queue, got = FifoQueue(), list[list[Message]]()
    queue.sent([Message(1, [1]), Message(1, [2]), Message(2, [3])])
    queue.receive(got.append)
    queue.sent([Message(1, [4])])
    queue.receive(got.append)
    assert [[each.commands for each in one] for one in got] == [[[1], [2], [3]]]
    queue.deleted(got[0])
    assert [[each.commands for each in one] for one in got][1:] == [[[4]]]
    assert queue.depth == 1


def test_a_receive_gives_ten_messages_at_most() -> None:
    queue, got = FifoQueue(), list[list[Message]]()
    queue.sent([Message(group, [group]) for group in range(25)])
    for _ in range(3):
        queue.receive(got.append)
    assert [len(each) for each in got] == [10, 10, 5]


def test_also_of_one_group() -> None:
    queue, got = FifoQueue(), list[list[Message]]()
    queue.sent([Message(1, [number]) for number in range(25)])
    for _ in range(3):
        queue.receive(got.append)
    while sum(map(len, got)) < 25:
        queue.deleted(got[-1])
    assert [[each.commands[0] for each in one] for one in got] == [list(range(10)), list(range(10, 20)), list(range(20, 25))]


def test_what_comes_while_all_servers_work_waits_its_turn() -> None:
    clock, ended = Clock(), list[tuple[str, float]]()
    servers = Servers(clock, 2)
    for name in "abc":
        servers.work(1.0, lambda name=name: ended.append((name, clock.now)))  # type: ignore[misc]
    clock.run(5.0)
    assert ended == [("a", 1.0), ("b", 1.0), ("c", 2.0)]
    assert servers.busy == 3.0


def test_processes_share_the_cores_of_a_machine() -> None:
    clock, ended = Clock(), list[float]()
    machine = Servers(clock, 1)
    for process in (Process(clock, machine), Process(clock, machine)):
        process.work(1.0, lambda: ended.append(clock.now))
    clock.run(5.0)
    assert ended == [1.0, 2.0]


def test_waits_have_the_median_and_the_tail_that_they_are_given() -> None:
    waits = Waits(Random(3))
    drawn = sorted(waits.draw(0.02, 0.08) for _ in range(20_000))
    assert drawn[10_000] == pytest.approx(0.02, rel=0.05)
    assert drawn[19_800] == pytest.approx(0.08, rel=0.1)
    assert waits.draw(0.0, 0.0) == 0.0


def test_more_commands_travel_in_fewer_calls_each() -> None:
    few, many = ran(rate=50.0, seconds=8.0).told(), ran(rate=2_000.0).told()
    assert many["requests_per_1000"] < few["requests_per_1000"] / 5
    assert many["cpu_ms_per_command"] < few["cpu_ms_per_command"] / 3


def test_what_one_worker_cannot_do_four_can() -> None:
    one, four = (ran(rate=20_000.0, seconds=1.0, gateways=6, shards=20, relays=4, workers=count).told() for count in (1, 4))
    assert one["appended_ms"]["p99"] > 2 * four["appended_ms"]["p99"]
    assert one["commands"] == four["commands"]
