"""Two generations fed at once: the same in both whatever comes, and the current one goes on whatever becomes of the other."""

import asyncio
from typing import Any
from zlib import crc32

import pytest
from sqlalchemy import text

from events.comments.events import CommentUpdated
from events.ids import StreamId
from events.memory_store import MemoryStore
from headrace.rebuild.switching import Refused, same_parks, switch
from readmodel.applying import BUCKETS, _space
from readmodel.comments.tables import COMMENTS, PICTURES
from readmodel.control import READ_MODEL
from readmodel.database import Database
from readmodel.feeding import read_fed
from readmodel.generations import Beside, beside, drop, feed, feed_not, flip, leftovers, new_generation
from readmodel.projecting import Projecting
from readmodel.rebuilding.comparing import Pair
from tests.unit.readmodel.commits import REGISTRY, comment, commit, history, stored


async def rows(database: Database, table: Any, generation: int) -> list[Any]:
    async with database.at(generation).engine.connect() as connection:
        return list(await connection.execute(table.select().order_by(*table.primary_key.columns)))


async def versions(database: Database, generation: int) -> dict[StreamId, int]:
    return {row[0]: row[1] for row in await rows(database, COMMENTS, generation)}


@pytest.fixture
async def second(database: Database) -> int:
    generation = await new_generation(database.engine, READ_MODEL, REGISTRY)
    await feed(database.engine, READ_MODEL, generation)
    return generation


async def test_what_comes_goes_to_all_that_are_fed(projecting: Projecting, database: Database) -> None:
    before = history(comment("before"), "p")
    await projecting.project(before)
    second = await new_generation(database.engine, READ_MODEL, REGISTRY)
    assert await leftovers(database.engine) == [second]
    await projecting.project(history(comment("between"), "p"))
    assert await rows(database, COMMENTS, second) == []

    await feed(database.engine, READ_MODEL, second)
    assert await beside(database.engine, READ_MODEL) == [Beside(second, complete=False)]
    done = await projecting.project(history(comment("after"), "p", updates=2))
    assert done.advanced == {comment("after"): 3}
    assert await versions(database, second) == {comment("after"): 3}
    assert (await rows(database, PICTURES, second))[0][1] == 1
    assert (await rows(database, PICTURES, 1))[0][1] == 3

    assert await flip(database.engine, READ_MODEL, second)
    await projecting.project(history(comment("flipped"), "p"))
    assert comment("flipped") in await versions(database, 1)
    await feed_not(database.engine, READ_MODEL, 1)
    await drop(database.engine, 1)
    await projecting.project(history(comment("alone"), "p"))
    assert await versions(database, second) == {comment("after"): 3, comment("alone"): 1, comment("flipped"): 1}


async def test_a_hole_in_one_of_them_is_filled_before_either_moves(
    projecting: Projecting, store: MemoryStore, database: Database, second: int
) -> None:
    stream = comment("hole")
    commits = history(stream, "p", updates=3)
    await stored(store, *commits)
    await Projecting(database, REGISTRY, store, alone=True).project(commits[:2])
    assert await versions(database, second) == {}
    seen = []

    async def watch() -> None:
        while True:
            found = [(await versions(database, each)).get(stream, 0) for each in (1, second)]
            seen.append(found)

    watching = asyncio.create_task(watch())
    done = await projecting.project(commits[2:])
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert done.advanced == {stream: 4}
    assert await rows(database, COMMENTS, 1) == await rows(database, COMMENTS, second)
    assert await rows(database, PICTURES, 1) == await rows(database, PICTURES, second)
    assert all(first == 2 or first <= beside for first, beside in seen)  # the current one is never ahead of what it moves with


async def test_of_many_at_once_both_get_all_of_it(database: Database, store: MemoryStore, second: int) -> None:
    commits = [each for number in range(40) for each in history(comment(number), f"p{number % 3}", updates=3)]
    await stored(store, *commits)

    async def some(number: int) -> None:
        mine = Projecting(database, REGISTRY, store)
        for start in range(number, len(commits), 7):
            await mine.project(commits[start : start + 5])

    await asyncio.gather(*(some(number) for number in range(4)))
    await Projecting(database, REGISTRY, store).catch_up([comment(number) for number in range(40)])
    assert await versions(database, second) == {comment(number): 4 for number in range(40)}
    assert await rows(database, COMMENTS, 1) == await rows(database, COMMENTS, second)
    assert await rows(database, PICTURES, 1) == await rows(database, PICTURES, second)


async def test_what_only_one_of_them_refuses_is_parked_there_alone(projecting: Projecting, database: Database, second: int) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text(f"ALTER TABLE rds_{second}.comments ADD CHECK (text <> 'no')"))
    good = history(comment("good"), "p")
    bad = [*history(comment("bad"), "p"), commit(comment("bad"), 2, 1, CommentUpdated("no"))]
    done = await projecting.project([*good, *bad])
    assert done.parked == []
    assert done.advanced == {comment("good"): 1, comment("bad"): 2}
    assert await versions(database, 1) == {comment("good"): 1, comment("bad"): 2}
    assert await versions(database, second) == {comment("good"): 1, comment("bad"): 1}
    async with database.engine.connect() as connection:
        parks = (await connection.execute(text("SELECT generation, stream, reason FROM headrace.parked"))).all()
    assert [tuple(each) for each in parks] == [(second, comment("bad"), "unstorable")]


@pytest.mark.parametrize(
    "harm", ["DROP SCHEMA rds_{} CASCADE", "DROP TABLE rds_{}.pictures", "ALTER TABLE rds_{}.comments DROP COLUMN text CASCADE"]
)
async def test_one_that_cannot_be_fed_is_left_and_the_current_one_goes_on(
    projecting: Projecting, database: Database, second: int, harm: str
) -> None:
    await projecting.project(history(comment(1), "p"))
    async with database.engine.begin() as connection:
        await connection.execute(text(harm.format(second)))
    done = await projecting.project(history(comment(2), "p"))
    assert done.advanced == {comment(2): 1}
    assert (await read_fed(database.engine)).generations == (1,)
    assert not await flip(database.engine, READ_MODEL, second)
    assert (await read_fed(database.engine)).current == 1


async def test_what_is_fed_changes_between_transactions_only(projecting: Projecting, database: Database) -> None:
    second = await new_generation(database.engine, READ_MODEL, REGISTRY)
    stream = comment("held")
    place = {"space": _space(1, "comments"), "bucket": crc32(stream.encode()) % BUCKETS}
    async with database.engine.connect() as other:
        await other.execute(text("SELECT pg_advisory_xact_lock(:space, :bucket)"), place)
        under_way = asyncio.create_task(projecting.project(history(stream, "p")))
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        async with asyncio.timeout(10), database.at(1).engine.connect() as watch:
            while (await watch.execute(text(waiting))).scalar_one() == 0:  # noqa: ASYNC110 - PostgreSQL tells nobody
                await asyncio.sleep(0.01)
        change = asyncio.create_task(feed(database.engine, READ_MODEL, second))
        _, pending = await asyncio.wait({change}, timeout=2.5)  # it gives way every second, and comes again
        assert pending
        assert (await read_fed(database.engine)).generations == (1,)
    await asyncio.gather(under_way, change)
    assert await versions(database, 1) == {stream: 1}
    assert await versions(database, second) == {}
    assert (await read_fed(database.engine)).generations == (1, second)


async def test_the_current_one_is_never_left(projecting: Projecting, database: Database, second: int) -> None:
    await feed_not(database.engine, READ_MODEL, 1)
    assert (await read_fed(database.engine)).generations == (1, second)
    with pytest.raises(ValueError, match="is fed"):
        await drop(database.engine, 1)


async def test_what_is_parked_beside_since_the_comparison_stops_the_switch(projecting: Projecting, database: Database, second: int) -> None:
    await projecting.project(history(comment("one")))
    pair = Pair(1, second)
    parked = "INSERT INTO headrace.parked VALUES (:generation, 'comments', 'comment-one', 'unstorable', 'refused', 2, now(), 2)"
    async with database.engine.begin() as connection:
        await connection.execute(text(parked), {"generation": second})
    with pytest.raises(Refused, match="1 streams are parked in the new one and not in the old: comment-one"):
        await switch(database.engine, READ_MODEL, pair, same_parks(pair, accept=False))
    assert (await read_fed(database.engine)).current == 1
    assert await beside(database.engine, READ_MODEL) == [Beside(second, complete=False)]
    await switch(database.engine, READ_MODEL, pair, same_parks(pair, accept=True))
    assert (await read_fed(database.engine)).current == second
