"""Fills against refreshes, in small; `python -m tests.support.racing` runs a million reads. It finds caches that are broken on purpose."""

import random

import pytest
from redis.asyncio import Redis

from runtime.settings import Settings
from tests.support.racing import raced


async def test_no_read_of_thousands_is_stale_whatever_fills_refreshes_evictions_and_flushes_meet(
    read_settings: Settings, client: Redis
) -> None:
    found = await raced(read_settings, 1_500, seed=random.randrange(10**6))
    assert (found["stale"], found["examples"]) == (0, []), found
    assert found["fills"]["refused"] > 0, found


@pytest.mark.slow
@pytest.mark.long
async def test_no_read_of_twenty_thousand_is_stale(read_settings: Settings, client: Redis) -> None:
    found = await raced(read_settings, 20_000, seed=random.randrange(10**6))
    assert (found["stale"], found["examples"]) == (0, []), found
    assert found["fills"]["refused"] > 10, found


@pytest.mark.parametrize("fault", ["plain", pytest.param("versioned", marks=[pytest.mark.slow, pytest.mark.long])])
async def test_a_cache_without_its_lease_or_its_versions_is_found_out(read_settings: Settings, client: Redis, fault: str) -> None:
    found = await raced(read_settings, 100_000, seed=7, fault=fault)
    assert found["stale"] > 0, found
