"""Appends that are throttled for a while: everything accepted is applied once, and the store is not hammered."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from secrets import token_hex
from typing import NamedTuple

import pytest

from events.envelope import Command
from events.ids import StreamId, partition_of
from events.outcome import Status
from tests.integration.write_side.conftest import WriteSide
from tests.support.fault_proxy import THROTTLES, FaultProxy, fault_proxy
from tests.support.lone_worker import command_worker
from tests.support.said import create, update

pytestmark = pytest.mark.slow

SECONDS = 120
STREAMS, A_PARCEL, A_WAVE = 160, 4, 2
MOST_TIMES = 4
CLOSED_SECONDS = 7.0


class Load(NamedTuple):
    """What was sent, in parcels."""

    parcels: list[list[Command]]

    @property
    def commands(self) -> list[Command]:
        return [each for parcel in self.parcels for each in parcel]


def load(partitions: int) -> Load:
    """Parcels of a few streams of one partition, each created and changed; as the gateway packs them."""
    idents = sorted((token_hex(8) for _ in range(STREAMS)), key=lambda ident: partition(ident, partitions))
    parcels: list[list[Command]] = []
    for _, members in groupby(idents, key=lambda ident: partition(ident, partitions)):
        of_one = list(members)
        packed = (of_one[start : start + A_PARCEL] for start in range(0, len(of_one), A_PARCEL))
        parcels += ([each for ident in part for each in (create(ident), update(ident, "b"))] for part in packed)
    random.Random(1).shuffle(parcels)
    return Load(parcels)


def partition(ident: str, partitions: int) -> int:
    return partition_of(StreamId(f"comment-{ident}"), partitions)


async def carried_out(write_side: WriteSide, proxy: FaultProxy, load: Load) -> float:
    """Append calls a commit, when every command was told what it came to; two parcels at a time, so that there are many calls."""
    calls, told = proxy.appends, dict[str, Status]()
    async with write_side.notices() as notices:
        for start in range(0, len(load.parcels), A_WAVE):
            for parcel in load.parcels[start : start + A_WAVE]:
                await write_side.send(parcel)
            sent = sum(map(len, load.parcels[: start + A_WAVE]))
            while len(told) < sent:
                notice = await anext(notices)
                assert told.setdefault(notice.command_id, notice.outcome.status) is Status.APPLIED
    commits = 0
    for stream in {each.stream for each in load.commands}:
        stored = await write_side.store.load(stream)
        assert [each.command_id for commit in stored for each in commit.recorded()] == [c.id for c in load.commands if c.stream == stream]
        commits += len(stored)
    return (proxy.appends - calls) / commits


@asynccontextmanager
async def throttled_worker(write_side: WriteSide, seed: int) -> AsyncIterator[FaultProxy]:
    """A worker behind a proxy, which is in its hands."""
    assert write_side.settings.aws_endpoint_url is not None
    async with (
        asyncio.timeout(SECONDS),
        fault_proxy(write_side.settings.aws_endpoint_url, seed) as proxy,
        command_worker(write_side.settings, proxy.url),
    ):
        yield proxy


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
async def test_a_throttled_store_is_asked_little_more_often_and_loses_nothing(write_side: WriteSide, share: float) -> None:
    async with throttled_worker(write_side, round(100 * share)) as proxy:
        usual = await carried_out(write_side, proxy, load(write_side.facts.partitions))
        proxy.throttle(share)
        throttled = await carried_out(write_side, proxy, load(write_side.facts.partitions))
        while sum(proxy.throttled.values()) < len(THROTTLES):  # few of them may all have passed a small share
            throttled = max(throttled, await carried_out(write_side, proxy, load(write_side.facts.partitions)))
    assert throttled <= MOST_TIMES * usual, (usual, proxy.throttled)


async def test_a_store_that_takes_nothing_for_a_while_is_not_hammered(write_side: WriteSide) -> None:
    async with throttled_worker(write_side, 1) as proxy:
        usual = await carried_out(write_side, proxy, load(write_side.facts.partitions))
        proxy.throttle(1)
        asyncio.get_running_loop().call_later(CLOSED_SECONDS, proxy.throttle, 0)
        throttled = await carried_out(write_side, proxy, load(write_side.facts.partitions))
    assert sum(proxy.throttled.values()) > len(THROTTLES)
    assert throttled <= MOST_TIMES * usual, (usual, proxy.throttled)
