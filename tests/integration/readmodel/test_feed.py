"""The feed of changes in PostgreSQL: what is applied is told once, in order, and nothing is skipped whoever writes at the same time."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from events.comments.events import CommentCreated, CommentUpdated
from events.envelope import Commit
from events.memory_store import MemoryStore
from readmodel.control import READ_MODEL
from readmodel.database import PROJECTING, Database, Within, open_database
from readmodel.domains import feeding
from readmodel.feed import Point, Told, told
from readmodel.feed_pruning import prune
from readmodel.feed_reading import ALL, Asked, Changes, open_changes
from readmodel.feed_writing import FeedWriter
from readmodel.folding import Folded
from readmodel.generations import feed, flip, new_generation
from readmodel.parking import list_parked
from readmodel.planning import Arrived, Plan, Unit
from readmodel.projecting import Projecting
from readmodel.redriving import redrive
from runtime.settings import Settings
from runtime.times import Micros, now
from tests.integration.readmodel.conftest import House
from tests.unit.readmodel.commits import REGISTRY, broken, comment, commit, history, stored
from workers.forgetting import pruning

SUBJECTS = {kind: projection.subject for kind, projection in feeding(REGISTRY).items()}
BEGINNING = Point(0)


@pytest.fixture
async def changes(read_settings: Settings) -> AsyncIterator[Changes]:
    async with open_changes(read_settings) as changes:
        yield changes


async def all_of(changes: Changes, after: Point = BEGINNING, asked: Asked = ALL, most: int = 1000) -> list[Told]:
    """Page by page."""
    horizon = await changes.horizon(careful=True)
    found: list[Told] = []
    more = True
    while more:
        page = await changes.page(after, horizon.transaction, asked, most)
        found += [each for change in page.changes for each in told(change, REGISTRY, SUBJECTS) if each.point > after]
        assert page.end > after or not page.more
        after, more = page.end, page.more
    return found


def said(found: list[Told]) -> list[str]:
    return [each.body.decode() for each in found]


async def test_what_is_applied_is_told_once_and_in_order(projecting: Projecting, changes: Changes) -> None:
    commits = history(comment(1), "p", updates=3, deleted=True, each=2)
    await projecting.project(commits[:2])
    await projecting.project(commits)
    found = await all_of(changes)
    assert [each.name for each in found] == ["comment.created", *["comment.updated"] * 3, "comment.deleted"]
    assert [f'"version":{version}' in body for version, body in enumerate(said(found), 1)] == [True] * 5
    assert all('"picture_id":"p"' in body and '"stream":"comment-1"' in body for body in said(found))
    assert len({each.point for each in found}) == 5
    for place, each in enumerate(found):
        assert await all_of(changes, each.point) == found[place + 1 :]


async def test_pages_of_any_size_hold_the_same(projecting: Projecting, changes: Changes) -> None:
    for number in range(20):
        await projecting.project(history(comment(number), f"p{number % 3}", updates=2))
    found = await all_of(changes)
    assert len(found) == 60
    assert await all_of(changes, most=1) == await all_of(changes, most=7) == found
    of_one = await all_of(changes, asked=Asked("p1"), most=3)
    assert of_one == [each for each in found if b'"picture_id":"p1"' in each.body]
    assert len(of_one) == 21


async def test_a_page_is_bounded_in_bytes(projecting: Projecting, changes: Changes) -> None:
    for number in range(6):
        await projecting.project([commit(comment(number), 1, 0, CommentCreated("p", "ann", "x" * 300_000))])
    horizon = await changes.horizon(careful=True)
    page = await changes.page(BEGINNING, horizon.transaction)
    assert 1 < len(page.changes) < 6
    assert page.more
    assert len(await all_of(changes)) == 6


async def test_a_row_longer_than_a_page_hides_nothing_behind_it(projecting: Projecting, changes: Changes) -> None:
    long = [commit(comment(0), 1, 0, CommentCreated("p", "ann", "x" * 300_000))]
    long += [commit(comment(0), version, version - 1, CommentUpdated("y" * 300_000)) for version in (2, 3, 4)]
    await projecting.project(long)
    for number in range(1, 4):
        await projecting.project(history(comment(number)))
    found = await all_of(changes)
    assert [len(each.body) > 300_000 for each in found] == [True] * 4 + [False] * 3
    for place, each in enumerate(found):
        assert await all_of(changes, each.point) == found[place + 1 :]


async def test_a_parked_stream_is_told_when_it_is_redriven(
    projecting: Projecting, changes: Changes, database: Database, store: MemoryStore, house: House
) -> None:
    good = history(comment(1), updates=1)
    await projecting.project([good[0], broken(comment(1), 2, 1, '[{"name": 7}]')])
    assert [each.name for each in await all_of(changes)] == ["comment.created"]
    await stored(store, *good)
    await redrive(database.engine, projecting, await list_parked(database.engine))
    assert [each.name for each in await all_of(changes)] == ["comment.created", "comment.updated"]


async def test_switched_off_nothing_is_written(database: Database, store: MemoryStore, changes: Changes) -> None:
    await Projecting(database, REGISTRY, store, feed=False).project(history(comment(1)))
    assert await all_of(changes) == []


async def test_with_two_generations_fed_each_is_told_once_and_ids_outlive_the_switch(
    projecting: Projecting, changes: Changes, database: Database, store: MemoryStore
) -> None:
    await projecting.project(history(comment(1)))
    (before,) = await all_of(changes)
    second = await new_generation(database.engine, READ_MODEL, REGISTRY)
    await feed(database.engine, READ_MODEL, second)
    await Projecting(database.at(second), REGISTRY, store, alone=True).project(history(comment(1)))
    await projecting.project(history(comment(2), updates=1))
    assert await flip(database.engine, READ_MODEL, second)
    await projecting.project(history(comment(3)))
    streams = ["comment-2", "comment-2", "comment-3"]
    assert [found in body for found, body in zip(streams, said(await all_of(changes, before.point)), strict=True)] == [True] * 3


@asynccontextmanager
async def writer(settings: Settings, number: int) -> AsyncIterator[AsyncConnection]:
    """A projector's transaction that has written a change, and is not committed until left."""
    async with open_database(settings, PROJECTING) as database, database.engine.connect() as connection, connection.begin():
        await connection.execute(text("SELECT pg_advisory_xact_lock(1, :bucket)"), {"bucket": number})
        await write(connection, number)
        yield connection


async def write(connection: AsyncConnection, number: int) -> None:
    arrived = [Arrived(each) for each in history(comment(number), "p")]
    (projection,) = feeding(REGISTRY).values()
    unit = Unit(projection, comment(number), arrived, arrived[-1].commit.last)
    await FeedWriter(REGISTRY).write(Within(connection, {}), [(unit, Plan(apply=arrived), Folded({"picture_id": "p"}))])


@pytest.mark.parametrize("careful", [False, True])
async def test_who_wrote_first_and_commits_last_is_not_skipped(read_settings: Settings, changes: Changes, careful: bool) -> None:
    seen: list[str] = []
    after = BEGINNING

    async def read() -> list[str]:
        nonlocal after
        horizon = await changes.horizon(careful=careful)
        page = await changes.page(after, horizon.transaction)
        after = page.end
        seen.extend(each.stream for each in page.changes)
        return [each.stream for each in page.changes]

    async with writer(read_settings, 1):
        async with writer(read_settings, 2):
            assert await read() == []
        assert await read() == []  # the second is committed, but the first has the earlier id
        async with writer(read_settings, 3):
            pass
        assert await read() == []
    assert await read() == [comment(1), comment(2), comment(3)]
    assert await read() == []


async def test_many_who_apply_at_once_are_read_without_a_hole_or_a_repeat(
    read_settings: Settings, database: Database, store: MemoryStore, changes: Changes
) -> None:
    """Batches of the same streams, overlapping and in any order, while somebody reads as fast as possible."""
    chance = random.Random(7)
    streams = [history(comment(number), updates=11) for number in range(12)]
    await stored(store, *(each for commits in streams for each in commits))
    batches = [commits[begin : begin + chance.randint(2, 6)] for commits in streams for begin in range(0, 12, 2)]
    chance.shuffle(batches)
    seen: dict[str, list[int]] = {}
    after, done = BEGINNING, asyncio.Event()

    async def read() -> None:
        nonlocal after
        while True:
            last = done.is_set()
            horizon = await changes.horizon(careful=chance.random() < 0.5)
            page = await changes.page(after, max(horizon.transaction, after.transaction), most=5)
            after = page.end
            for change in page.changes:
                seen.setdefault(change.stream, []).extend(range(change.first, change.last + 1))
            if last and not page.more:
                return

    async def apply(part: list[list[Commit]]) -> None:
        projecting = Projecting(database, REGISTRY, store)
        for commits in part:
            await projecting.project(commits)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        async with asyncio.TaskGroup() as projectors:
            for number in range(6):
                projectors.create_task(apply(batches[number::6]))
        done.set()
    assert {s: v for s, v in seen.items() if v != list(range(1, 13))} == {}
    assert len(seen) == 12


async def test_something_foreign_under_way_holds_back_only_who_is_not_careful(read_settings: Settings, changes: Changes) -> None:
    async with open_database(read_settings, PROJECTING) as database, database.engine.connect() as foreign, foreign.begin():
        await foreign.execute(text("SELECT pg_current_xact_id()"))
        async with writer(read_settings, 1):
            pass
        plain, careful = await changes.horizon(), await changes.horizon(careful=True)
        assert (await changes.page(BEGINNING, plain.transaction)).changes == []
        assert [each.stream for each in (await changes.page(BEGINNING, careful.transaction)).changes] == [comment(1)]
        assert plain.held_back
        assert not careful.held_back


async def test_what_is_pruned_is_a_beginning_and_is_known(projecting: Projecting, changes: Changes, database: Database) -> None:
    for number in range(10):
        await projecting.project(history(comment(number)))
    before = await all_of(changes)
    assert await prune(database.engine, 3600) == 0
    assert await prune(database.engine, 0, most=4) == 4
    assert await all_of(changes) == before[4:]
    horizon = await changes.horizon()
    page = await changes.page(before[3].point, horizon.transaction)
    assert page.forgotten[:2] == before[3].point[:2]
    assert before[2].point < page.forgotten
    assert before[4].point > page.forgotten
    async with database.engine.begin() as other:
        await other.execute(text("SELECT 1 FROM headrace.forgotten FOR UPDATE"))
        assert await prune(database.engine, 0) == 0
    assert await prune(database.engine, 0) == 6
    assert await all_of(changes) == []


async def test_beside_the_projector_old_changes_go_by_themselves(projecting: Projecting, changes: Changes, database: Database) -> None:
    for number in range(5):
        await projecting.project(history(comment(number)))
    async with pruning(database.engine, 3600):
        assert len(await all_of(changes)) == 5
    async with pruning(database.engine, 0), asyncio.timeout(10):
        while await all_of(changes):
            pass
    assert await prune(database.engine, 0) == 0


async def test_since_a_time_nothing_of_it_is_left_out(projecting: Projecting, changes: Changes, database: Database) -> None:
    await projecting.project(history(comment(1)))
    between = now()
    await projecting.project(history(comment(2)))
    start = await changes.since(between)
    assert not start.missed
    found = await all_of(changes, start.point, Asked(since=between))
    assert ["comment-2" in body for body in said(found)] == [True]
    assert len(await all_of(changes, (await changes.since(Micros(0))).point)) == 2
    await prune(database.engine, 0)
    assert (await changes.since(between)).missed
    assert not (await changes.since(now())).missed
