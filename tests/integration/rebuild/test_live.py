"""A rebuild while the stack is written to and read: nobody sees it, and what it built is what the events say."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from headrace.errors import WrongUse
from headrace.observe import told_by_postgres
from headrace.rebuild import cache, kept, rds
from readmodel.control import CACHE, READ_MODEL
from readmodel.database import PROJECTING, open_database
from readmodel.feeding import Fed, read_fed
from readmodel.generations import leftovers
from tests.integration.rebuild.conftest import PLAIN, Live, at_work


@pytest.mark.slow
async def test_the_switch_there_and_back_is_seen_by_nobody(live: Live) -> None:
    await live.write(120)
    await live.passed()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks, at_work(live.settings) as (ground, held):
        for _ in range(2):
            tasks.create_task(live.look(stop))
        tasks.create_task(live.go_on(stop))
        report = await rds.rebuild(ground, held, PLAIN)
        assert report.switched, report.compared.differences
        assert report.compared.differences == []
        assert report.compared.rows["comments"] == 120
        assert await read_fed(ground.engine) == Fed((1, 2), 2)
        await asyncio.sleep(2)
        with pytest.raises(WrongUse, match="--drop-old"):
            await rds.rebuild(ground, held, PLAIN)
        back = await kept.rollback(ground, held, accept=False)
        assert back == (2, 1)
        await asyncio.sleep(2)
        await kept.rollback(ground, held, accept=False)
        assert await kept.drop_old(ground) == [1]
        await asyncio.sleep(1)
        stop.set()
    async with at_work(live.settings) as (ground, held):
        assert await read_fed(ground.engine) == Fed((2,), 2)
        assert await leftovers(ground.engine) == []
    assert live.reads > 500
    found = await live.audited()
    assert found.ok, found.differences
    assert found.streams == 120


@pytest.mark.slow
@pytest.mark.long
async def test_the_caches_generation_is_switched_as_quietly(live: Live) -> None:
    await live.write(60)
    await live.passed()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks, at_work(live.settings) as (ground, held):
        tasks.create_task(live.look(stop))
        tasks.create_task(live.go_on(stop))
        report = await cache.rebuild(ground, held)
        assert report.switched
        assert report.values > 0
        await asyncio.sleep(2)
        await cache.rollback(ground, held)
        await asyncio.sleep(2)
        await cache.rollback(ground, held)
        assert await cache.drop_old(ground) == [1]
        stop.set()
    async with at_work(live.settings) as (ground, _):
        assert await read_fed(ground.engine, CACHE) == Fed((2,), 2)
    found = await live.audited()
    assert found.ok, found.differences


async def test_an_old_generation_that_is_wrong_is_told_and_left_only_when_told_to(live: Live) -> None:
    await live.write(30)
    await live.passed()
    async with open_database(live.settings, PROJECTING) as database, database.engine.begin() as connection:
        await connection.execute(text("UPDATE comments SET text = 'not what was written' WHERE comment_id = '3'"))
        await connection.execute(text("DELETE FROM comments WHERE comment_id = '4'"))
        await connection.execute(text("UPDATE pictures SET comment_count = 99 WHERE picture_id = 'p1'"))
    quick = replace(PLAIN, settle=1.0)
    async with at_work(live.settings) as (ground, held):
        refused = await rds.rebuild(ground, held, quick)
        assert not refused.switched
        assert "1 streams are not at the same version: comment-4" in refused.compared.differences[0]
        assert await read_fed(ground.engine) == Fed((1,), 1)
        assert await leftovers(ground.engine) == []
        done = await rds.rebuild(ground, held, replace(quick, accept_differences=True))
        assert done.switched
        assert done.generation == refused.generation + 1
        assert (await read_fed(ground.engine, READ_MODEL)).current == done.generation
        seen = await told_by_postgres(live.settings)
        assert seen.generations[READ_MODEL] == Fed((1, done.generation), done.generation)
    await asyncio.sleep(1.5)
    found = await live.audited()
    assert found.ok, found.differences
