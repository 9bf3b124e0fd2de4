"""Redis full, slow, dead on the line, or gone: queries go on, the circuit opens, and nothing old is shown afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic

import pytest

from events.comments.events import CommentUpdated
from readmodel.cache import PATIENT_SECONDS, QUICK_SECONDS, REST_SECONDS, Cache
from readmodel.comments.cached import comment_key
from readmodel.following import FollowingReads
from readmodel.heads import Heads
from readmodel.opening import open_reads
from readmodel.pages import Page
from readmodel.refreshing import Refresher
from readmodel.tiers import FILL_SECONDS
from runtime.redis_client import open_redis
from tests.integration.readmodel.conftest import House, held, write
from tests.support.counted import counted
from tests.support.slow_pipe import SlowPipe, slow_pipe
from tests.unit.readmodel.commits import REGISTRY, comment, commit, delivery, history, stored
from workers.projector_cache import CacheProjector


@pytest.fixture
async def full(house: House) -> AsyncIterator[House]:
    """A Redis that evicts nothing and has no room left, with one comment and its list cached."""
    await write(house, *history(comment(1), "p"))
    await house.reads.comment("1")
    await house.reads.comments("p", Page())
    before = await house.client.config_get("maxmemory*")
    await house.client.config_set("maxmemory-policy", "noeviction")
    await house.client.config_set("maxmemory", 1)
    try:
        yield house
    finally:
        for name in ("maxmemory", "maxmemory-policy"):
            await house.client.config_set(name, before[name] or "")


async def test_a_full_redis_still_answers_what_it_holds_and_costs_a_miss_nothing(full: House) -> None:
    for number in range(10):
        assert (await full.reads.comment(f"none-{number}")).source == "database"
    assert (await full.reads.comment("1")).source == "cache"
    began = monotonic()
    for _ in range(10):
        assert (await full.reads.picture("p")).source == "database"
    assert monotonic() - began < 1  # nobody waits for a fill that cannot come


async def test_what_a_full_redis_cannot_be_told_it_does_not_go_on_showing(full: House) -> None:
    await write(full, commit(comment(1), 2, 1, CommentUpdated("new")))
    found = await full.reads.comment("1")
    assert (found.version, found.source) == (2, "database")
    page = await full.reads.comments("p", Page())
    assert page.value is not None
    assert page.value.comments[0].text == "new"  # a script that has deleted something may write again, full or not
    assert await full.reads.projected(comment(1), 2) == {"rds": True, "cache": True}


async def test_a_lease_that_was_out_when_redis_became_full_fills_nothing(house: House) -> None:
    await write(house, *history(comment(1), "p"))
    key = comment_key(house.cache.prefix, comment(1))
    assert await house.cache.look(key, "slow") == (None, True)
    await house.client.config_set("maxmemory-policy", "noeviction")
    await house.client.config_set("maxmemory", 1)
    try:
        assert await house.cache.held([key], "projector") == []
    finally:
        await house.client.config_set("maxmemory", 0)
        await house.client.config_set("maxmemory-policy", "allkeys-lru")
    assert not await house.cache.fill(key, "slow", b'{"format":1,"version":1,"view":null}', 60_000)


@asynccontextmanager
async def gateway(house: House, redis_url: str) -> AsyncIterator[FollowingReads]:
    """One gateway's reads."""
    async with open_reads(replace(house.settings, redis_url=redis_url), house.store, Heads()) as reads:
        yield reads


@asynccontextmanager
async def piped(house: House) -> AsyncIterator[tuple[FollowingReads, SlowPipe]]:
    """A gateway whose Redis is behind a pipe."""
    async with slow_pipe(house.settings.redis_url) as pipe, gateway(house, pipe.url) as reads:
        await reads.comment("1")
        yield reads, pipe


async def timed(reads: FollowingReads, count: int) -> list[float]:
    """Seconds of each of so many reads, one after the other; they must be answered."""
    took = []
    for _ in range(count):
        began = monotonic()
        assert (await reads.comment("1")).version == 1
        took.append(monotonic() - began)
    return sorted(took)


@pytest.mark.parametrize("fault", ["slow", "dead"])
async def test_redis_slow_or_dead_on_the_line_opens_the_circuit_and_no_query_pays_for_looking_whether_it_is_back(
    house: House, fault: str
) -> None:
    await write(house, *history(comment(1), "p"))
    async with piped(house) as (reads, pipe):
        pipe.delay, pipe.dead = (0.2, False) if fault == "slow" else (0.0, True)
        opening = await timed(reads, 3)
        assert opening[-1] < 1
        until, slow, reads_done = monotonic() + 2.5 * REST_SECONDS, 0, 0
        while monotonic() < until:
            [took] = await timed(reads, 1)
            reads_done, slow = reads_done + 1, slow + (took >= QUICK_SECONDS)
            await asyncio.sleep(0.005)
        assert reads_done > 50
        assert slow <= reads_done // 100  # what the machine itself did to them
        pipe.delay, pipe.dead = 0.0, False
        async with asyncio.timeout(5):
            while (await reads.comment("1")).source != "cache":  # noqa: ASYNC110 - asked as callers ask it
                await asyncio.sleep(0.02)


async def test_a_subscription_that_died_silently_is_noticed_and_readers_look_for_themselves(house: House) -> None:
    await write(house, *history(comment(1), "p"))
    async with piped(house) as (reads, pipe):
        pipe.dead = True
        second = commit(comment(1), 2, 1, CommentUpdated("x"))
        await stored(house.store, second)
        waiting = asyncio.create_task(reads.comment("1", held(comment(1), 2, wait=10)))
        await asyncio.sleep(0.1)
        began = monotonic()
        await house.rds.handle([delivery(second)])
        assert (await waiting).version == 2
        assert monotonic() - began < 6  # of its ten seconds


async def test_after_a_flush_a_hot_key_costs_two_reads_of_postgresql_whatever_the_crowd(house: House) -> None:
    await write(house, *history(comment(1), "p"))
    async with gateway(house, house.settings.redis_url) as one, gateway(house, house.settings.redis_url) as other:
        await asyncio.gather(one.comments("p", Page()), other.comments("p", Page()))
        for _ in range(3):
            await house.client.flushall()
            with counted(one._tiers.database, other._tiers.database) as statements:
                crowd = (reads.comments("p", Page()) for _ in range(50) for reads in (one, other))
                answers = await asyncio.gather(*crowd)
            assert {answer.version for answer in answers} == {1}
            assert 1 <= len(statements) <= 2


async def test_the_cache_projector_is_awake_when_postgresql_or_redis_comes_back(house: House) -> None:
    """However long they were away: a batch in hand waits for a notice, not for a pause that has grown."""
    first, second = history(comment(1), "p", updates=1)
    await write(house, first)
    await house.reads.comment("1")
    await stored(house.store, second)
    async with slow_pipe(house.settings.redis_url) as pipe, open_redis(replace(house.settings, redis_url=pipe.url)) as client:
        cache = Cache(client, house.settings.stack, house.reads._tiers.database.generation, PATIENT_SECONDS)
        follower = CacheProjector((Refresher(house.reads._tiers.database, cache, REGISTRY), house.notices), client, house.settings.stack)
        following = asyncio.create_task(follower.handle([delivery(second)]))
        pipe.dead = True
        await asyncio.sleep(0.3)
        await house.rds.handle([delivery(second)])
        pipe.dead = False
        began = monotonic()
        handled = await following
        assert len(handled.done) == 1
        assert monotonic() - began < 1.5
    assert (await house.reads.comment("1")).version == 2


async def test_a_lease_that_nobody_fills_is_waited_for_once(house: House) -> None:
    """A gateway died with it, or Redis took it for a look that was given up."""
    await write(house, *history(comment(1), "p"))
    assert await house.cache.look(comment_key(house.cache.prefix, comment(1)), "dead") == (None, True)
    assert (await house.reads.comment("1")).source == "database"
    began = monotonic()
    for _ in range(20):
        assert (await house.reads.comment("1")).source == "database"
    assert monotonic() - began < 20 * FILL_SECONDS / 2
