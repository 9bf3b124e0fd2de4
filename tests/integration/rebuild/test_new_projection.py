"""A projection that comes when there is history already: brought up from version 1 in a generation beside."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from events.comments.events import CommentUpdated
from events.ids import Version
from headrace.errors import WrongUse
from headrace.provision import provision
from headrace.rebuild import kept, rds
from readmodel.database import PROJECTING, open_database
from runtime.settings import Settings
from tests.integration.rebuild.conftest import PLAIN, at_work, living
from tests.unit.readmodel.commits import comment, commit

pytestmark = pytest.mark.slow
DOMAIN = "docs.examples.comments_per_author:DOMAIN"


async def per_author(settings: Settings) -> list[tuple[str, int]]:
    async with open_database(settings, PROJECTING) as database, database.engine.connect() as connection:
        return [(author, count) for author, count, _ in await connection.execute(text("SELECT * FROM comments_per_author ORDER BY author"))]


async def test_with_roles_that_know_it_already(own: Settings) -> None:
    async with living(own) as before:
        await before.write(25)
        await before.passed()
    settings = replace(own, domain=DOMAIN)
    await provision(settings)
    async with living(own, DOMAIN) as live:
        live.written |= before.written
        await live.write(10, start=25)
        await live.passed()
        assert (await per_author(settings))[0][1] >= 10  # more where the relay began again with what it had not noted
        async with at_work(own) as (ground, held):
            with pytest.raises(WrongUse, match="comments_per_author"):
                await rds.rebuild(ground, held, PLAIN)
        async with at_work(settings) as (ground, held):
            report = await rds.rebuild(ground, held, PLAIN)
            assert report.compared.differences == []
            assert report.switched
            assert await per_author(settings) == [("ann", 35)]
            await kept.drop_old(ground)
        found = await live.audited(settings)
        assert found.ok, found.differences


@pytest.mark.long
async def test_with_roles_that_learn_of_it_afterwards(own: Settings) -> None:
    settings = replace(own, domain=DOMAIN)
    async with living(own) as live:
        await live.write(25)
        await live.passed()
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks, at_work(settings) as (ground, held):
            tasks.create_task(live.go_on(stop))
            report = await rds.rebuild(ground, held, PLAIN)
            stop.set()
        assert report.switched, report.compared.differences
        assert report.compared.only_new == ["comments_per_author"]
        assert await per_author(settings) == [("ann", 25)]
        await live.passed()
    async with living(own, DOMAIN) as live2:  # what came between the switch and the new roles follows at its next event, whole
        for stream, version in live.written.items():
            await live2.store.append([commit(stream, version + 1, version, CommentUpdated("once more"))])
            live2.written[stream] = Version(version + 1)
        await live2.passed()
        assert comment(0) in live2.written
        found = await live2.audited(settings)
        assert found.ok, found.differences
