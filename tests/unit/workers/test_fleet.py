"""Relays on a stream whose shards split and end, killed, paused and stopped: in virtual time, against every rule there is."""

import asyncio
import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.stream_world import SECONDS, World
from tests.support.virtual_time import run_virtually

REST = 12 * SECONDS
MOST_RELAYS = 4


@dataclass(frozen=True)
class Step:
    """After so many seconds something happens to the shard or the relay of this number."""

    after: float
    what: str
    which: int
    much: int


STEPS = st.lists(
    st.builds(
        Step,
        st.floats(0, 8),
        st.sampled_from(["append", "append", "append", "split", "roll", "start", "kill", "pause", "end", "away", "mute", "shard"]),
        st.integers(0, 7),
        st.integers(1, 5),
    ),
    max_size=25,
)


def to_shards(world: World, step: Step) -> None:
    slices = world.open()
    shard = slices[step.which % len(slices)]
    match step.what:
        case "append":
            for _ in range(step.much * 3):
                world.append(shard)
        case "split" | "roll":
            world.split(shard, 2 if step.what == "split" else 1)
        case "shard":
            world.shard()


async def to_relays(world: World, step: Step, living: list[str]) -> None:
    later = asyncio.get_running_loop().call_later
    if step.what == "start" and len(living) < MOST_RELAYS:
        living.append(world.start(f"r{len(world.tasks)}").name)
    elif step.what in {"away", "mute"}:
        event = world.table.away if step.what == "away" else world.mute
        event.set()
        later(step.much * SECONDS / 3, event.clear)
    elif step.what in {"kill", "end", "pause"} and living:
        relay = world.tasks[living[step.which % len(living)]]
        if step.what == "pause":
            relay.gate.clear()
            later(step.much * SECONDS / 2, relay.gate.set)
            return
        living.remove(relay.name)
        await (relay.kill() if step.what == "kill" else relay.end())


async def history(steps: list[Step], seed: int) -> None:
    world, living = World(seed), list[str]()
    for _ in range(3):
        world.shard()
    living += [world.start(f"r{n}").name for n in range(2)]
    try:
        for step in steps:
            await asyncio.sleep(step.after)
            to_shards(world, step)
            await to_relays(world, step, living)
        if not living:
            living.append(world.start("last").name)
        await asyncio.sleep(REST)
        assert all(not world.tasks[name].task.done() for name in living)
        assert not world.wrong
        assert world.names() <= world.published.keys()
        closed = [each.id for each in world.slices.values() if each.closed]
        assert all(world.row(shard)["shard_ended"]["BOOL"] for shard in closed)
        assert set(world.table.ends.values()) <= {0, 1}
        owners = world.owners()
        assert set(owners) <= set(living), f"shards without an owner: {owners}"
        counts = [owners[name] for name in living]
        assert max(counts) - min(counts) <= 1, f"not balanced: {owners}"
        changes = world.table.changes
        await asyncio.sleep(3 * SECONDS)
        assert world.table.changes == changes, "leases still change hands at rest"
    finally:
        for process in world.tasks.values():
            await process.kill()


@given(STEPS, st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_every_shard_is_read_once_in_its_order_by_whoever_lives(steps: list[Step], seed: int) -> None:
    random.seed(seed)
    run_virtually(history(steps, seed))


@pytest.mark.slow
@pytest.mark.long
@given(STEPS, st.integers(0, 2**32))
@settings(max_examples=1000, deadline=None)
def test_the_same_a_thousand_times(steps: list[Step], seed: int) -> None:
    random.seed(seed)
    run_virtually(history(steps, seed))
