"""What befalls the read side under load: a relay that wakes too late, PostgreSQL killed again and again, all restarted in turn."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

import pytest

from headrace.local import state
from headrace.local.environment import merged
from headrace.local.probes import answers
from headrace.local.state import Part
from loadtest.lease_history import Lease, LeaseWatch
from runtime.aws import open_aws
from runtime.settings import load
from runtime.stack import table_name
from tests.acceptance.stack import Live, stack_up
from tests.support.load_beside import load_beside

pytestmark = pytest.mark.slow

LEASE_SECONDS = 2
AWAY_SECONDS = 6.0
"""Longer than the lease and the visibility of this stack."""
BACK_SECONDS = 60.0
ROLES = ("commands", "relay", "projector-rds", "projector-cache")


@pytest.fixture(scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    """Two relays, two projectors of each kind."""
    more = {"HEADRACE_VISIBILITY_SECONDS": "4", "HEADRACE_LEASE_SECONDS": str(LEASE_SECONDS)}
    words = ("--scale", "relay=2,projector-rds=2,projector-cache=2", "--put-off", "0.5")
    async with stack_up(tmp_path_factory.mktemp("pair"), more, words=words) as found:
        yield found


@asynccontextmanager
async def leases(live: Live) -> AsyncIterator[LeaseWatch]:
    """Watched until the end of the block; nothing may be wrong with them."""
    settings = load(merged(dict(os.environ), state.environment(live.folder)))
    async with open_aws(settings) as aws:
        watch = LeaseWatch(await aws.dynamodb(), table_name(settings, "control"))
        async with asyncio.TaskGroup() as beside:
            watching = beside.create_task(watch.run())
            yield watch
            watching.cancel()
    assert watch.history.looks > 10
    assert watch.history.faults == []


async def held(watch: LeaseWatch, holds: Callable[[Lease], bool]) -> Lease:
    """The lease, once somebody holds one so."""
    async with asyncio.timeout(BACK_SECONDS):
        while True:
            for lease in (await watch.look()).values():
                if not lease.ended and holds(lease):
                    return lease
            await asyncio.sleep(0.05)


async def back(live: Live, name: str, not_pid: int | None) -> Part:
    """That part, in its next life and ready."""
    async with asyncio.timeout(BACK_SECONDS):
        while True:
            stack = state.live(live.folder)
            assert stack is not None
            part = next(each for each in stack.parts if each.name == name)
            if part.pid not in {None, not_pid} and await answers(part.probe):
                return part
            await asyncio.sleep(0.1)


@pytest.mark.long
async def test_a_relay_that_wakes_after_its_lease_moves_nothing(pair: Live) -> None:
    async with leases(pair) as watch, load_beside(pair, 150, 16) as loading:
        relays = {part.pid: part for part in pair.parts("relay") if part.pid is not None}
        await held(watch, lambda lease: any(map(lease.of_process, relays)) and lease.checkpoint > 0)
        pid = next(pid for pid in relays if any(lease.of_process(pid) for lease in watch.history.now.values()))
        log = pair.folder / "logs" / f"{relays[pid].name}.log"
        before = log.stat().st_size
        os.kill(pid, signal.SIGSTOP)
        try:
            stopped = await held(watch, lambda lease: lease.of_process(pid))
            taken = await held(watch, lambda lease: lease.epoch == stopped.epoch + 1)
            assert not taken.of_process(pid)
            moved = await held(watch, lambda lease: lease.epoch == taken.epoch and lease.checkpoint > stopped.checkpoint)
            await asyncio.sleep(AWAY_SECONDS)  # the fault itself
        finally:
            os.kill(pid, signal.SIGCONT)
        await loading.report()
        after = await held(watch, lambda lease: lease.checkpoint > moved.checkpoint)
        assert after.epoch == taken.epoch, "it took the lease back, or somebody else did"
    said = await asyncio.to_thread(log.read_bytes)
    assert b"lease lost" in said[before:], "it never noticed that it no longer holds its lease"
    assert pair.parts("relay")[0].restarts == 0


@pytest.mark.long
async def test_postgres_killed_again_and_again_loses_and_doubles_nothing(pair: Live) -> None:
    seconds, kills = 45.0, 0
    async with leases(pair), load_beside(pair, 100, seconds) as loading:
        until = monotonic() + seconds - 8
        while monotonic() < until:
            part = await back(pair, "postgres", None)
            assert part.pid is not None
            os.kill(part.pid, signal.SIGKILL)
            kills += 1
            await back(pair, "postgres", part.pid)
            await asyncio.sleep(5)  # what it takes to get on with the work before the next one
        report = await loading.report()
    assert kills >= 3
    assert report["audit"]["parked"] == 0


async def test_a_rolling_restart_is_not_seen_by_callers(pair: Live) -> None:
    async with leases(pair), load_beside(pair, 100, 60) as loading:
        for part in pair.parts(*ROLES[::-1]):
            await restarted(pair, part)
        report = await loading.report()
    assert (report["refused"], report["errors"]) == (0, {})
    up = await asyncio.to_thread((pair.folder / "logs" / "up.log").read_text)
    ends = re.findall(r"(?:relay-\d|projector-\w+-\d|commands) (ended with \d+|was killed by signal \d+)", up)
    assert ends == ["ended with 0"] * 7


async def test_a_gateway_that_restarts_loses_nothing_that_it_accepted(pair: Live) -> None:
    async with load_beside(pair, 100, 15) as loading:
        for part in pair.parts("gateway"):
            await restarted(pair, part)
        await loading.report()


async def restarted(live: Live, part: Part) -> None:
    """Asked to end, and back."""
    assert part.pid is not None
    os.kill(part.pid, signal.SIGTERM)
    await back(live, part.name, part.pid)
