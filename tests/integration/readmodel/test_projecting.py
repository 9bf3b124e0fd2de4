"""Commits into PostgreSQL: whatever comes, in whatever order and however often, the rows are the fold of the streams."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from msgspec import Raw
from sqlalchemy import text

from events.comments.events import CommentCreated, CommentUpdated
from events.envelope import Commit
from events.ids import StreamId, Version
from events.memory_store import MemoryStore
from events.parcel import Stub
from readmodel.database import Database
from readmodel.parking import count_parked, list_parked
from readmodel.projecting import Projecting
from readmodel.redriving import redrive, refresh
from readmodel.verdicts import Verdict
from tests.integration.readmodel.conftest import House
from tests.unit.readmodel.commits import REGISTRY, broken, chain, comment, commit, history, stored

STRANGE = '[{"name":"order.made.v1","data":{},"at":1,"actor":"a","command_id":"c","fingerprint":"f"}]'


async def rows(database: Database, table: str, *columns: str) -> list[tuple[Any, ...]]:
    names = ", ".join(columns)
    async with database.engine.connect() as connection:
        found = await connection.execute(text(f"SELECT {names} FROM {table} ORDER BY 1"))
        return [tuple(row) for row in found]


async def everything(database: Database) -> tuple[Any, ...]:
    columns = ("stream", "version", "commit_first", "head_id", "text", "deleted", "created_at", "updated_at")
    comments = await rows(database, "comments", *columns)
    return comments, await rows(database, "pictures", "picture_id", "comment_count", "last_commented_at", "revision")


async def test_a_comments_life_becomes_a_row_and_its_pictures_sums(projecting: Projecting, database: Database) -> None:
    applied = await projecting.project(history(comment(1), "p", updates=2, deleted=True) + history(comment(2), "p"))
    assert applied.advanced == {comment(1): 4, comment(2): 1}
    assert applied.counts == {Verdict.APPLY: 5}
    assert await rows(database, "comments", "stream", "version", "text", "deleted") == [
        ("comment-1", 4, "text 1 of comment-1", True),
        ("comment-2", 1, "first of comment-2", False),
    ]
    assert await rows(database, "pictures", "picture_id", "comment_count", "revision") == [("p", 1, 5)]


async def test_a_hole_is_filled_from_the_store(projecting: Projecting, database: Database, store: MemoryStore) -> None:
    commits = await stored(store, *history(comment(1), updates=5))
    applied = await projecting.project([commits[4]])
    assert applied.advanced == {comment(1): 5}  # not beyond what was spoken of
    assert await rows(database, "comments", "version") == [(5,)]


async def test_a_stub_is_read_from_the_store(projecting: Projecting, database: Database, store: MemoryStore) -> None:
    commits = await stored(store, *history(comment(1), updates=2))
    await projecting.project([], [Stub(comment(1), commits[1].first, commits[1].last)])
    assert await rows(database, "comments", "version") == [(2,)]


async def test_a_hole_that_the_store_cannot_fill_parks(projecting: Projecting, database: Database) -> None:
    await projecting.project([history(comment(1), updates=2)[2], *history(comment(2))])
    [parked] = await list_parked(database.engine)
    assert (parked.stream, parked.reason, parked.first_version) == (comment(1), "gap", 1)
    assert await rows(database, "comments", "stream") == [("comment-2",)]


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (commit(comment(1), 1, 0, CommentCreated("p", "ann", "other"), command="other"), "fork"),
        (commit(comment(1), 1, 0, CommentCreated("p", "ann", "x"), CommentUpdated("y")), "fork"),
        (commit(comment(1), 3, 2, CommentUpdated("y")), "gap"),
        (broken(comment(1), 2, 1, '[{"name":"comment.updated.v1"}]'), "unreadable"),
        (broken(comment(1), 2, 1, "[]"), "unreadable"),
        (broken(comment(1), 2, 1, STRANGE), "unknown_event"),
        (commit(comment(1), 2, 1, CommentCreated("p", "ann", "again")), "projection_failed"),
        (commit(comment(1), 2, 1, CommentUpdated("nul \0")), "unstorable"),
    ],
)
async def test_poison_parks_its_stream_with_the_reason_and_no_other(
    projecting: Projecting,
    database: Database,
    second: Commit,
    reason: str,
) -> None:
    others = [each for n in range(2, 12) for each in history(comment(n), updates=1)]
    await projecting.project([*history(comment(1)), *others[:6], second, *others[6:]])
    [parked] = await list_parked(database.engine)
    assert (parked.stream, parked.reason) == (comment(1), reason)
    assert "\n" not in parked.detail
    assert len(await rows(database, "comments", "stream")) == 11
    assert await rows(database, "pictures", "comment_count", "revision") == [(11, 21)]
    later = await projecting.project([commit(comment(1), 2, 1, CommentUpdated("later"))])
    assert later.counts == {Verdict.PARKED: 1}


async def test_a_key_that_no_index_takes_is_the_datas_fault(projecting: Projecting, database: Database) -> None:
    letters = random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=20_000)
    huge = commit(comment(1), 1, 0, CommentCreated("".join(letters), "ann", "hello"))
    await projecting.project([huge, *history(comment(2))])
    assert [(parked.stream, parked.reason) for parked in await list_parked(database.engine)] == [(comment(1), "unstorable")]
    assert await rows(database, "comments", "stream") == [(comment(2),)]


async def test_commits_before_the_poison_are_applied(projecting: Projecting, database: Database) -> None:
    good = history(comment(1), updates=3)
    await projecting.project([*good, commit(comment(1), 5, 4, CommentUpdated("\0"))])
    assert await rows(database, "comments", "version") == [(4,)]
    assert [parked.first_version for parked in await list_parked(database.engine)] == [5]


async def test_a_redriven_stream_is_applied_from_the_store_and_redis_follows(house: House, projecting: Projecting) -> None:
    commits = history(comment(1), updates=3)
    await projecting.project([commits[0], commits[2]])  # the store is empty: a hole for ever, as it seems
    await house.reads.comment("1")
    await stored(house.store, *commits)
    done = await redrive(house.database.engine, projecting, await list_parked(house.database.engine))
    await refresh(house.refresher, done.advanced)
    assert (done.advanced, done.again) == ({comment(1): 4}, [])
    assert await count_parked(house.database.engine) == 0
    found = await house.reads.comment("1")
    assert (found.source, found.version) == ("cache", 4)


async def test_projectors_side_by_side_add_nothing_twice(
    projecting: Projecting,
    database: Database,
    store: MemoryStore,
) -> None:
    commits = [each for n in range(60) for each in history(comment(n), f"p{n % 3}", updates=3)]
    await stored(store, *commits)

    async def one(seed: int) -> Counter[Verdict]:
        dice, counts = random.Random(seed), Counter[Verdict]()
        mine = commits[:]
        dice.shuffle(mine)
        for start in range(0, len(mine), 40):
            counts.update((await projecting.project(mine[start : start + 40])).counts)
        return counts

    await asyncio.gather(*map(one, range(8)))
    assert await rows(database, "comments", "version") == [(4,)] * 60
    assert await rows(database, "pictures", "picture_id", "comment_count", "revision") == [(f"p{n}", 20, 80) for n in range(3)]


async def test_a_commit_of_many_events_advances_whole(projecting: Projecting, database: Database) -> None:
    await projecting.project(chain(comment(1), [CommentCreated("p", "a", "t"), *(CommentUpdated(f"{n}") for n in range(99))], each=100))
    assert await rows(database, "comments", "version", "commit_first") == [(100, 1)]


async def test_a_stream_of_no_known_domain_is_parked_not_lost(projecting: Projecting, database: Database) -> None:
    stranger = Commit(StreamId("order-1"), Version(1), Version(1), Version(0), Raw(STRANGE.encode()))
    await projecting.project([stranger, *history(comment(1))])
    assert [(each.projector, each.reason) for each in await list_parked(database.engine)] == [("rds", "unknown_event")]
    assert REGISTRY.of_stream("order-1") is None
