"""Queries: the tier that answers, what a token promises, and that nothing stale is ever cached."""

import asyncio
from dataclasses import replace
from time import monotonic

import pytest

from events.comments.events import CommentUpdated
from events.ids import StreamId, Version
from readmodel.answers import CommentView
from readmodel.comments.cached import comment_key, newest_key
from readmodel.errors import NotYet, StreamParked, TokenBeyondStore
from readmodel.heads import Heads
from readmodel.opening import open_reads
from readmodel.pages import Cursor, Page, decode_cursor, encode_cursor
from runtime.times import parse_rfc3339
from tests.integration.readmodel.conftest import House, held, write
from tests.support.counted import counted
from tests.support.scripted_queue import ScriptedQueue
from tests.unit.readmodel.commits import broken, comment, commit, delivery, history, stored
from workers.consumer import consume
from workers.packing import GROUPS
from workers.projector_cache import LANES, CacheProjector


async def test_the_second_read_of_anything_comes_from_the_cache(house: House) -> None:
    await write(house, *history(comment(1), "p", updates=1))
    for expected in ("database", "cache"):
        found = await house.reads.comment("1")
        assert found.value is not None
        assert (found.source, found.version, found.value.text) == (expected, 2, "text 0 of comment-1")
        picture = await house.reads.picture("p")
        assert picture.value is not None
        assert (picture.source, picture.value.comment_count, picture.version) == (expected, 1, 2)
        page = await house.reads.comments("p", Page())
        assert page.value is not None
        assert (page.source, len(page.value.comments), page.value.next_cursor) == (expected, 1, None)


async def test_what_never_was_is_cached_too(house: House) -> None:
    for expected in ("database", "cache"):
        nothing = await house.reads.comment("none")
        assert (nothing.value, nothing.source, nothing.version) == (None, expected, 0)
        picture = await house.reads.picture("bare")
        assert picture.value is not None
        assert (picture.value.comment_count, picture.value.last_commented_at, picture.source) == (0, None, expected)
        page = await house.reads.comments("bare", Page(newest=False))
        assert page.value is not None
        assert (page.value.comments, page.value.next_cursor, page.source) == ([], None, expected)
    await write(house, *history(comment("none"), "bare"))
    found = await house.reads.comment("none")
    assert (found.version, found.source) == (1, "cache")  # refreshed, since somebody had asked
    assert (await house.reads.picture("bare")).version == 1


async def test_a_refresh_follows_every_change_and_a_delete_leaves_a_tombstone(house: House) -> None:
    commits = history(comment(1), "p", updates=1, deleted=True)
    await write(house, commits[0])
    await house.reads.comment("1")
    await house.reads.comments("p", Page())
    await write(house, commits[1])
    found = await house.reads.comment("1")
    assert (found.source, found.version) == ("cache", 2)
    page = await house.reads.comments("p", Page())
    assert page.value is not None
    assert (page.source, page.value.comments[0].version) == ("cache", 2)
    await write(house, commits[2])
    gone = await house.reads.comment("1")
    assert (gone.value, gone.source, gone.version) == (None, "cache", 3)
    page = await house.reads.comments("p", Page())
    assert page.value is not None
    assert (page.source, page.value.comments) == ("cache", [])


async def test_nothing_is_cached_that_nobody_asked_for(house: House) -> None:
    await write(house, *history(comment(1), "p"))
    assert await house.client.dbsize() == 0


async def test_a_token_is_never_answered_with_less(house: House) -> None:
    commits = history(comment(1), "p", updates=2)
    await write(house, commits[0])
    await house.reads.comment("1")
    await stored(house.store, *commits[1:])
    with pytest.raises(NotYet):
        await house.reads.comment("1", held(comment(1), 2, wait=0.05))
    patient = held(comment(1), 3, wait=5)
    found, page, picture, _ = await asyncio.gather(
        house.reads.comment("1", patient),
        house.reads.comments("p", Page(), patient),
        house.reads.picture("p", patient),
        house.rds.handle([delivery(*commits[1:])]),
    )
    assert found.version == 3
    assert page.value is not None
    assert page.value.comments[0].version == 3
    assert picture.version == 3


async def test_a_cached_list_counts_for_a_token_it_shows(house: House) -> None:
    await write(house, *history(comment(1), "p", updates=1))
    await write(house, *history(comment(2), "other"))
    await house.reads.comments("p", Page())
    assert (await house.reads.comments("p", Page(), held(comment(1), 2))).source == "cache"
    assert (await house.reads.comments("p", Page(), held(comment(2), 1))).source == "database"
    assert (await house.reads.comment("1", held(comment(2), 1))).source == "database"
    assert (await house.reads.comment("1", held(comment(1), 2))).source == "cache"


async def test_a_version_known_to_be_stored_is_waited_for_without_asking_the_store(house: House) -> None:
    """The store, asked, would say that there is no such version."""
    house.heads.note(comment("told"), Version(2))
    with pytest.raises(NotYet):
        await house.reads.comment("told", held(comment("told"), 2, wait=0.05))
    with pytest.raises(TokenBeyondStore):
        await house.reads.comment("told", held(comment("told"), 3, wait=0.05))


async def test_a_token_beyond_the_store_is_refused_at_once(house: House) -> None:
    await write(house, *history(comment(1)))
    with pytest.raises(TokenBeyondStore):
        await house.reads.comment("1", held(comment(1), 2, wait=10))
    with pytest.raises(TokenBeyondStore):
        await house.reads.picture("p", held(StreamId("comment-none"), 1, wait=10))
    assert (await house.reads.comment("1", held(StreamId("comment-none"), 0))).version == 1


async def test_a_parked_stream_answers_what_there_is_and_tells_who_holds_a_token(house: House) -> None:
    await write(house, *history(comment(1)))
    await house.reads.comment("1")
    await write(house, broken(comment(1), 2, 1, "[]"))
    assert (await house.reads.comment("1")).version == 1
    with pytest.raises(StreamParked):
        await house.reads.comment("1", held(comment(1), 2, wait=10))
    assert await house.reads.projected(comment(1), 1) == {"rds": True, "cache": True}
    assert await house.reads.projected(comment(1), 2) == {"rds": False, "cache": False}


async def test_the_cache_projector_leaves_what_postgresql_does_not_have(house: House) -> None:
    [first] = history(comment(1))
    [second] = history(comment(2))
    await stored(house.store, first, second)
    hasty = CacheProjector((house.refresher, house.notices), house.client, house.settings.stack)
    deliveries = [delivery(first, number=1), delivery(second, number=2)]
    handled, _ = await asyncio.gather(hasty.handle(deliveries), house.rds.handle([delivery(second)]))
    assert [each.message_id for each in handled.done] == ["m2"]
    assert await house.reads.projected(comment(1), 1) == {"rds": False, "cache": False}
    assert await house.reads.projected(comment(2), 1) == {"rds": True, "cache": True}


async def test_pages_walk_a_picture_in_both_orders_whatever_tier_answers(house: House) -> None:
    await write(house, *(each for n in range(130) for each in history(comment(f"{n:03}"), "p", deleted=n % 10 == 0)))
    alive = [f"{n:03}" for n in range(130) if n % 10]
    for newest in (True, False):
        for limit in (7, 50, 100):
            seen: list[str] = []
            page: Page | None = Page(limit, newest)
            while page is not None:
                answer = await house.reads.comments("p", page)
                assert answer.value is not None
                seen += [each.comment_id for each in answer.value.comments]
                text = answer.value.next_cursor
                page = Page(limit, newest, decode_cursor(text, "p")) if text else None
            # All were created at the same microsecond of their streams, so the id decides.
            assert seen == (alive[::-1] if newest else alive)
    first = await house.reads.comments("p", Page(100))
    assert first.source == "cache"
    assert first.value is not None
    within = await house.reads.comments("p", Page(10, cursor=decode_cursor(_cursor_after(first.value.comments[50]), "p")))
    assert within.source == "cache"


def _cursor_after(view: CommentView) -> str:
    return encode_cursor(Cursor(parse_rfc3339(view.created_at), view.comment_id, newest=True), view.picture_id)


JUNK = (
    b"",
    b"junk",
    b"\xff\xfe",
    b'{"format":2,"version":9,"view":null}',
    b'{"format":1,"version":-9,"view":null}',
    b'{"format":1,"version":9,',
    b'{"format":1,"version":9,"view":{"comment_id":1}}',
)


@pytest.mark.parametrize("junk", JUNK)
async def test_an_unreadable_value_is_a_miss_and_is_overwritten(house: House, junk: bytes) -> None:
    await write(house, *history(comment(1), "p"))
    key = comment_key(house.cache.prefix, comment(1))
    await house.client.set(key, junk)
    assert [(await house.reads.comment("1")).source for _ in range(2)] == ["database", "cache"]
    await house.client.delete(key)
    await house.client.hset(key, "another", "type")
    assert [(await house.reads.comment("1")).source for _ in range(2)] == ["database", "cache"]


async def test_a_refresh_overwrites_an_unreadable_value(house: House) -> None:
    commits = history(comment(1), "p", updates=1)
    await write(house, commits[0])
    await house.client.set(comment_key(house.cache.prefix, comment(1)), b"junk")
    await house.client.rpush(newest_key(house.cache.prefix, "p"), "a list")
    await write(house, commits[1])
    assert ((await house.reads.comment("1")).source, (await house.reads.comments("p", Page())).source) == ("cache", "cache")


async def test_without_redis_everything_comes_from_postgresql(house: House) -> None:
    await write(house, *history(comment(1), "p"))
    nowhere = replace(house.settings, redis_url="redis://127.0.0.1:1/0")
    async with open_reads(nowhere, house.store, Heads()) as reads:
        for _ in range(6):
            assert (await reads.comment("1", held(comment(1), 1))).source == "database"
        assert (await reads.comments("p", Page())).source == "database"
        await stored(house.store, commit(comment(1), 2, 1, CommentUpdated("x")))
        waiting = asyncio.create_task(reads.comment("1", held(comment(1), 2, wait=5)))
        await house.rds.handle([delivery(commit(comment(1), 2, 1, CommentUpdated("x")))])
        assert (await waiting).version == 2


async def test_redis_loses_everything_at_any_moment(house: House) -> None:
    await write(house, *history(comment(1), "p"))
    await house.reads.comment("1")
    await house.client.flushall()
    await house.client.script_flush()
    assert [(await house.reads.comment("1")).source for _ in range(2)] == ["database", "cache"]
    await house.client.flushall()
    await house.client.script_flush()
    await write(house, commit(comment(1), 2, 1, CommentUpdated("x")))
    assert (await house.reads.comment("1")).version == 2


async def test_a_bounded_wait_costs_two_looks_however_long_it_is_and_ends_with_the_notice(house: House) -> None:
    """Woken by `rds`' notice, not by asking PostgreSQL again and again."""
    commits = history(comment(1), "p", updates=20)
    await write(house, commits[0])
    woken = []
    for version in range(2, 12):
        await stored(house.store, commits[version - 1])
        with counted(house.reads._tiers.database) as statements:
            waiting = asyncio.create_task(house.reads.comments("p", Page(), held(comment(1), version, wait=10)))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            assert len(statements) == 1, statements  # it has looked once, and waits
            await house.rds.handle([delivery(commits[version - 1])])
            told = monotonic()
            found = await waiting
            woken.append(monotonic() - told)
        assert found.value is not None
        assert found.value.comments[0].version == version
        assert len(statements) <= 4, statements  # the positions again, and the rows
    assert sorted(woken)[len(woken) // 2] < 0.1


async def test_a_wait_for_what_does_not_come_costs_two_looks(house: House) -> None:
    commits = history(comment(1), "p", updates=1)
    await write(house, commits[0])
    await stored(house.store, commits[1])
    with counted(house.reads._tiers.database) as statements, pytest.raises(NotYet):
        await house.reads.comment("1", held(comment(1), 2, wait=1))
    assert len(statements) == 2, statements


async def test_projected_of_a_parked_stream_is_what_was_applied_before(house: House) -> None:
    """The cache projector acknowledges what a parked stream's commits say, and has passed nothing of them."""
    first, second = history(comment(1), "p", updates=1)
    await write(house, first)
    await house.rds.handle([delivery(broken(comment(1), 2, 1, "[]"))])  # what came is no commit of ours; what is stored is
    await house.followed.handle([delivery(second)])
    assert await house.reads.projected(comment(1), 1) == {"rds": True, "cache": True}
    assert await house.reads.projected(comment(1), 2) == {"rds": False, "cache": False}
    assert (await house.reads.comment("1")).version == 1


async def test_batches_that_wait_leave_lanes_for_those_that_need_not(house: House) -> None:
    """A stopped `rds`: whatever it has not applied waits, one message group a batch; what it has applied is followed at once."""
    waiting = [history(comment(f"waits-{group}"))[0] for group in range(GROUPS)]
    [ready] = history(comment("ready"))
    await stored(house.store, *waiting, ready)
    await house.rds.handle([delivery(ready)])
    batches = [[replace(delivery(each, number=n), group=str(n))] for n, each in enumerate(waiting)]
    queue, stop = ScriptedQueue(*batches, [replace(delivery(ready, number=99), group="ready")]), asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(consume(queue, house.followed.handle, stop, LANES))
        while queue.deleted != ["m99"]:  # noqa: ASYNC110 - a scripted queue tells nobody
            await asyncio.sleep(0.01)
        began = monotonic()
        await house.rds.handle([delivery(*waiting)])
        while len(queue.deleted) < GROUPS + 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert monotonic() - began < 2
        stop.set()
