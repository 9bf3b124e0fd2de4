"""The servers as a library: started, used, gone; side by side; an environment installed whole or not at all."""

import asyncio
import os
import secrets
import shutil
import tempfile
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from headrace.errors import StackFailed
from headrace.local import servers
from headrace.local.backend_home import Recipe, installed
from headrace.local.clean import clean
from headrace.local.postgres_home import enterable, outside_path, settle
from headrace.local.probes import answers
from headrace.local.pythons import find_python
from runtime.amqp import AmqpAway, open_amqp


async def test_every_server_answers_inside_the_block_and_is_gone_after_it(tmp_path: Path) -> None:
    async with servers.postgres(tmp_path / "pg") as database, servers.redis(tmp_path / "r") as cache, servers.aws(tmp_path / "a") as aws:
        connection = await asyncpg.connect(database)
        assert await connection.fetchval("SELECT current_database()") == "headrace"
        await connection.close()
        client = Redis.from_url(cache)
        assert (await client.config_get("maxmemory-policy"))["maxmemory-policy"] == "allkeys-lru"
        await client.aclose()
        assert await answers(f"{aws}/_ministack/health")
    for probe in (database, cache, f"{aws}/_ministack/health"):
        assert not await answers(probe)


async def test_two_of_a_kind_run_side_by_side(tmp_path: Path) -> None:
    async with servers.redis(tmp_path / "1") as one, servers.redis(tmp_path / "2") as two:
        assert one != two
        assert await answers(one)
        assert await answers(two)


async def test_a_server_that_cannot_start_says_where_its_log_is(tmp_path: Path) -> None:
    home = await asyncio.to_thread(settle, tmp_path / "pg")
    home.data.mkdir(mode=0o700, exist_ok=True)
    (home.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(StackFailed, match=r"postgres ended with \d; see .*postgres\.log"):
        async with servers.postgres(tmp_path / "pg"):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must drop")
def test_as_root_what_others_cannot_enter_is_put_into_one_folder_of_ours(folder: Path) -> None:
    folder.parent.chmod(0o700)
    home = settle(folder / "postgres")
    assert home.outside is not None
    assert home.outside == outside_path(folder / "postgres", home.outside.parent)
    assert enterable(home.outside)
    assert home.data.parent == home.outside
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert settle(folder / "postgres") == home
    assert clean(folder) == [home.outside, folder]


class InterruptedInstallError(Exception):
    """What stops an install half way."""


async def test_an_interrupted_install_is_done_again_and_a_finished_one_is_not(tmp_path: Path) -> None:
    python = await find_python((3, 11))
    assert python is not None
    lock = tmp_path / "empty.lock"
    lock.write_text("")
    finished: list[Path] = []

    async def breaks(_: Path) -> None:
        raise InterruptedInstallError

    async def finishes(folder: Path) -> None:
        finished.append(folder)

    recipe = Recipe(f"test-{secrets.token_hex(4)}", python, lock, breaks)
    with pytest.raises(InterruptedInstallError):
        await installed(recipe, tmp_path, lambda _: None)
    whole = Recipe(recipe.name, python, lock, finishes)
    first, second = await asyncio.gather(*(installed(whole, tmp_path, lambda _: None) for _ in range(2)))
    await asyncio.to_thread(shutil.rmtree, first)
    first.with_name(f"{first.name}.lock").unlink()
    assert first == second
    assert finished == [first]


async def test_a_rabbitmq_of_ones_own_leaves_nothing_behind(amqp_url: str, tmp_path: Path) -> None:
    before = _rabbits()
    async with servers.rabbitmq(tmp_path) as mine, open_amqp(mine, "test") as connection:
        assert mine != amqp_url
        await (await connection.channel()).declare_queue("q")
    with pytest.raises(AmqpAway):
        async with open_amqp(mine, "test"):
            pass
    assert _rabbits() == before


def _rabbits() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("headrace-rabbit-*"))
