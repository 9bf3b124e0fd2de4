"""Parked streams taken up again: from the store, in order, and at no moment neither parked nor applied."""

import asyncio
import random
from collections.abc import Callable

import pytest
from sqlalchemy import select, text

from events.comments.events import CommentCreated, CommentDeleted, CommentUpdated
from events.domain import Registry
from events.envelope import Commit
from events.ids import EMPTY, StreamId, Version
from events.memory_store import MemoryStore
from events.parcel import Stub
from readmodel.comments.tables import COMMENTS
from readmodel.control import READ_MODEL
from readmodel.database import Database
from readmodel.generations import feed, new_generation
from readmodel.parking import Parked, Which, count_parked, count_parks, discard, list_parked
from readmodel.projecting import Projecting
from readmodel.redriving import redrive
from readmodel.verdicts import Verdict
from tests.integration.readmodel.test_projecting import everything, rows
from tests.support import ledger
from tests.unit.readmodel.commits import REGISTRY, broken, chain, comment, commit, history, stored


async def all_parked(database: Database) -> list[Parked]:
    return await list_parked(database.engine)


async def parked_by_holes(projecting: Projecting, lives: list[list[Commit]]) -> None:
    """While the store is still empty: each stands behind its first commit."""
    await projecting.project([each for life in lives for each in (life[0], life[-1])])


async def test_a_redrive_brings_a_stream_to_the_stores_head(projecting: Projecting, database: Database, store: MemoryStore) -> None:
    life = history(comment(1), updates=5)
    await parked_by_holes(projecting, [life])
    [park] = await all_parked(database)
    assert (park.reason, park.first_version, park.last_version) == ("gap", 2, 6)
    await stored(store, *life)
    done = await redrive(database.engine, projecting, [park])
    assert (done.ended, done.again, done.advanced) == ([park], [], {comment(1): 6})
    assert await all_parked(database) == []
    assert await rows(database, "comments", "version", "text") == [(6, "text 4 of comment-1")]


async def test_what_is_spoken_of_while_parked_is_noted(projecting: Projecting, database: Database) -> None:
    life = history(comment(1), updates=8)
    await parked_by_holes(projecting, [life[:3]])
    await projecting.project(life[4:6])
    await projecting.project(life[3:4], [Stub(comment(1), Version(8), Version(8))])
    assert [(each.first_version, each.last_version) for each in await all_parked(database)] == [(2, 8)]


async def test_what_comes_while_the_store_is_read_is_not_lost(projecting: Projecting, database: Database, store: MemoryStore) -> None:
    """A projector acknowledges the next commit just between the redrive's read of the store and its transaction."""
    life = history(comment(1), updates=5)
    await parked_by_holes(projecting, [life[:3]])
    await stored(store, *life[:3])
    load, late, stood = store.load, iter(life[3:]), []

    async def loaded(stream: StreamId, after: Version = EMPTY) -> list[Commit]:
        found = await load(stream, after)
        stood.extend([park.first_version for park in await all_parked(database)])
        if (new := next(late, None)) is not None:
            await store.append([new])
            assert (await projecting.project([new])).counts == {Verdict.PARKED: 1}
            assert await count_parked(database.engine) == 1
        return found

    store.load = loaded  # type: ignore[method-assign]
    done = await redrive(database.engine, projecting, await all_parked(database))
    assert stood == [2, 4, 5, 6]
    assert done.advanced == {comment(1): 6}
    assert await all_parked(database) == []
    assert await rows(database, "comments", "version") == [(6,)]


async def test_at_no_moment_a_stream_is_neither_parked_nor_applied(projecting: Projecting, database: Database, store: MemoryStore) -> None:
    """Redrives cancelled anywhere, a projector at work on the same streams, and a reader of snapshots who sees every moment."""
    dice = random.Random(23)
    lives = {comment(n): history(comment(n), f"p{n % 3}", updates=12) for n in range(12)}
    await parked_by_holes(projecting, [life[:3] for life in lives.values()])
    for life in lives.values():
        await stored(store, *life[:4])
    acknowledged = dict.fromkeys(lives, 3)
    looks = 0

    async def live() -> None:
        for step in range(4, 13):
            for stream, life in lives.items():
                await store.append([life[step]])
                await projecting.project([life[step]])
                acknowledged[stream] = step + 1
                await asyncio.sleep(dice.random() / 500)

    async def look() -> None:
        nonlocal looks
        must = dict(acknowledged)
        statement = text("SELECT c.stream, c.version, p.first_version FROM comments c LEFT JOIN headrace.parked p ON p.stream = c.stream")
        async with database.engine.connect() as connection:
            for stream, version, stands_at in await connection.execute(statement):
                assert version >= must[stream] if stands_at is None else stands_at > version, (stream, version, stands_at, must[stream])
        looks += 1

    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(live())
        while not working.done() or await count_parked(database.engine):
            redriving = asyncio.create_task(redrive(database.engine, projecting, await all_parked(database)))
            if not working.done():
                await asyncio.wait({redriving}, timeout=dice.random() / 20)
                redriving.cancel()
            await asyncio.wait({redriving})
            await look()
    assert looks > 3
    assert await rows(database, "comments", "version") == [(13,)] * 12
    assert await rows(database, "pictures", "comment_count", "revision") == [(4, 52)] * 3


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        (lambda: commit(comment(1), 4, 3, CommentUpdated("nul \0")), "unstorable"),
        (lambda: commit(comment(1), 4, 3, CommentCreated("p", "ann", "again")), "projection_failed"),
        (lambda: broken(comment(1), 4, 3, "[]"), "unreadable"),
        (lambda: commit(comment(1), 4, 2, CommentUpdated("other")), "fork"),
    ],
)
async def test_what_still_cannot_be_applied_stays_with_the_reason_of_today(
    projecting: Projecting, database: Database, store: MemoryStore, poison: Callable[[], Commit], reason: str
) -> None:
    life = history(comment(1), updates=2)
    await parked_by_holes(projecting, [life, history(comment(2), updates=2)])
    await stored(store, *life, poison(), commit(comment(1), 5, 4, CommentDeleted()), *history(comment(2), updates=2))
    done = await redrive(database.engine, projecting, await all_parked(database))
    assert [park.stream for park in done.ended] == [comment(2)]
    assert [(stream, fault.reason, fault.version) for _, stream, fault in done.again] == [(comment(1), reason, 4)]
    [park] = await all_parked(database)
    assert (park.stream, park.reason, park.first_version, park.last_version) == (comment(1), reason, 4, 5)
    assert await rows(database, "comments", "stream", "version") == [("comment-1", 3), ("comment-2", 3)]
    again = await redrive(database.engine, projecting, [park])
    assert [(fault.reason, fault.version) for _, _, fault in again.again] == [(reason, 4)]
    assert [each.since for each in await all_parked(database)] == [park.since]


async def test_a_park_that_only_a_false_message_made_ends_without_a_change(
    projecting: Projecting, database: Database, store: MemoryStore
) -> None:
    life = await stored(store, *history(comment(1), updates=2))
    await projecting.project(life)
    before = await everything(database)
    await projecting.project([commit(comment(1), 3, 2, CommentUpdated("forged"), command="forged")])
    [park] = await all_parked(database)
    assert park.reason == "fork"
    assert (await redrive(database.engine, projecting, [park])).ended == [park]
    assert await everything(database) == before
    await projecting.project([commit(comment(1), 4, 3, CommentUpdated("next"))])
    assert await rows(database, "comments", "version") == [(4,)]


async def test_a_view_that_holds_what_the_store_has_not_stays_parked(
    projecting: Projecting, database: Database, store: MemoryStore
) -> None:
    life = history(comment(1), updates=2)
    await projecting.project([*life, commit(comment(1), 3, 2, CommentUpdated("forged"), command="forged")])
    await stored(store, life[0], life[1])
    done = await redrive(database.engine, projecting, await all_parked(database))
    assert [fault.reason for _, _, fault in done.again] == ["fork"]
    await store.append([commit(comment(1), 3, 2, CommentUpdated("true"), command="true")])
    done = await redrive(database.engine, projecting, await all_parked(database))
    assert [fault.reason for _, _, fault in done.again] == ["fork"]
    assert await count_parked(database.engine) == 1


async def test_a_version_that_never_was_holds_nobody_up(projecting: Projecting, database: Database, store: MemoryStore) -> None:
    await projecting.project([], [Stub(comment(1), Version(1), Version(10**9))])
    [park] = await all_parked(database)
    assert (park.reason, park.last_version) == ("gap", 10**9)
    await stored(store, *history(comment(1), updates=1))
    done = await redrive(database.engine, projecting, [park])
    assert (done.ended, done.advanced) == ([park], {comment(1): 2})
    await projecting.project([], [Stub(comment(2), Version(1), Version(5))])
    assert len((await redrive(database.engine, projecting, await all_parked(database))).ended) == 1
    assert await all_parked(database) == []


async def test_a_discarded_stream_stands_still_is_counted_apart_and_may_be_taken_up_again(
    projecting: Projecting, database: Database, store: MemoryStore
) -> None:
    lives = [history(comment(n), updates=3) for n in (1, 2)]
    await parked_by_holes(projecting, lives)
    assert await count_parks(database.engine, "rds") == ({"gap": 2}, 0)
    [gone] = await discard(database.engine, Which(streams=[comment(1)]))
    assert gone.discarded_at is not None
    assert await discard(database.engine, Which(streams=[comment(1)])) == []
    assert (await count_parked(database.engine), await count_parked(database.engine, discarded=True)) == (1, 1)
    assert await count_parks(database.engine, "rds") == ({"gap": 1}, 1)
    assert await count_parks(database.engine, "amqp") == ({}, 0)
    assert (await projecting.project([commit(comment(1), 5, 4, CommentUpdated("x"))])).counts == {Verdict.PARKED: 1}
    assert [each.stream for each in await list_parked(database.engine, which=Which(discarded=False))] == [comment(2)]
    waiting = await list_parked(database.engine, which=Which(streams=[comment(1)]))
    assert [each.last_version for each in waiting] == [5]
    await stored(store, *lives[0][:2], broken(comment(1), 3, 2, "[]"))
    assert [fault.reason for _, _, fault in (await redrive(database.engine, projecting, waiting)).again] == ["unreadable"]
    assert await count_parks(database.engine, "rds") == ({"gap": 1, "unreadable": 1}, 0)


async def test_streams_of_a_domain_that_was_not_known_are_applied_once_it_is(database: Database, store: MemoryStore) -> None:
    opened = chain(StreamId("account-1"), [ledger.Opened("ann", "EUR"), ledger.Booked(5)], registry=ledger_registry())
    await stored(store, *opened)
    await Projecting(database, REGISTRY, store).project(opened)
    [park] = await all_parked(database)
    assert (park.projector, park.reason) == ("rds", "unknown_event")
    knowing = Projecting(database, ledger_registry(), store)
    done = await redrive(database.engine, knowing, [park])
    assert (done.ended, done.advanced) == ([park], {StreamId("account-1"): 2})
    assert await all_parked(database) == []
    assert await rows(database, "positions", "projector", "version") == [("rds", 2)]


def ledger_registry() -> Registry:
    return Registry([ledger.DOMAIN])


async def test_a_page_ends_where_the_next_begins(projecting: Projecting, database: Database) -> None:
    await parked_by_holes(projecting, [history(comment(n), updates=2) for n in range(7)])
    seen: list[str] = []
    after = ("", "", -1)
    while page := await list_parked(database.engine, after, 3):
        assert len(page) <= 3
        seen += [each.stream for each in page]
        after = page[-1].place
    assert seen == [comment(n) for n in range(7)]
    assert len(await list_parked(database.engine, which=Which(reason="gap", projector="comments"))) == 7
    assert await list_parked(database.engine, which=Which(reason="fork")) == []


async def test_generations_that_are_fed_together_are_redriven_together(
    projecting: Projecting, database: Database, store: MemoryStore
) -> None:
    """Poison in the middle of a long stream, found by halving: both say what it is, and end together once it is mended."""
    second = await new_generation(database.engine, READ_MODEL, REGISTRY)
    await feed(database.engine, READ_MODEL, second)
    good, bad = history(comment(1), updates=9), history(comment(2), updates=4)
    await parked_by_holes(projecting, [good, bad])
    poison = commit(comment(2), 6, 5, CommentUpdated("nul \0"))
    await stored(store, *good, *bad, poison, commit(comment(2), 7, 6, CommentDeleted()))
    everywhere = await list_parked(database.engine, fed=True)
    assert [(each.stream, each.generation) for each in everywhere] == [(comment(n), g) for n in (1, 2) for g in (1, second)]

    done = await redrive(database.engine, projecting, await all_parked(database))
    assert [each.stream for each in done.ended] == [comment(1)]
    left = await list_parked(database.engine, fed=True)
    assert [(each.stream, each.reason, each.first_version, each.last_version) for each in left] == [(comment(2), "unstorable", 6, 7)] * 2
    for generation in (1, second):
        async with database.at(generation).engine.connect() as connection:
            found = await connection.execute(select(COMMENTS.c.stream, COMMENTS.c.version).order_by(COMMENTS.c.stream))
            assert [tuple(row) for row in found] == [(comment(1), 10), (comment(2), 5)]

    store._streams[comment(2)][Version(6)] = commit(comment(2), 6, 5, CommentUpdated("mended"))
    alone = Projecting(database.at(second), REGISTRY, store, alone=True)
    assert len((await redrive(database.engine, alone, [each for each in left if each.generation == second])).ended) == 1
    assert [each.generation for each in await list_parked(database.engine, fed=True)] == [1]
    assert len((await redrive(database.engine, projecting, await all_parked(database))).ended) == 1
    assert await list_parked(database.engine, fed=True) == []
