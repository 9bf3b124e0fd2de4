"""`GET /events` on a real PostgreSQL and Redis, over real sockets; the projector's batches are applied here."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from events.comments.events import CommentCreated
from events.envelope import Commit
from events.memory_store import MemoryStore
from events.outcome import projected_channel
from gateway.bounds import BOUNDS, Bounds
from gateway.client import Client
from gateway.feed import following as follower_module
from gateway.feed import tail as tail_module
from gateway.feed.route import Feed
from gateway.server import serving
from gateway.subscription import RedisNotices
from readmodel.control import READ_MODEL
from readmodel.database import Database
from readmodel.feed_pruning import prune
from readmodel.feed_reading import open_changes
from readmodel.projecting import Projecting
from runtime.metrics import FEED_FOLLOWERS
from runtime.settings import Settings
from runtime.times import now, rfc3339
from tests.support.sse import Event, following
from tests.support.sse import Feed as SseFeed
from tests.unit.gateway.fakes import until, world
from tests.unit.readmodel.commits import REGISTRY, comment, commit, delivery, history
from workers.projector_rds import RdsProjector


@dataclass
class Live:
    """A gateway, and a projector that tells it."""

    url: str
    feed: Feed
    projector: RdsProjector
    database: Database
    client: Redis

    async def apply(self, *commits: Commit) -> None:
        message = delivery(*commits)
        assert (await self.projector.handle([message])).done == [message]


@asynccontextmanager
async def serve(settings: Settings, database: Database, client: Redis, bounds: Bounds = BOUNDS) -> AsyncIterator[Live]:
    projector = RdsProjector(Projecting(database, REGISTRY, MemoryStore()), client, settings.stack)
    async with open_changes(settings) as changes:
        notices = RedisNotices(client, projected_channel(settings.stack, READ_MODEL))
        async with (
            world(changes=(changes, notices)) as made,
            serving(made.gateway.app, ("127.0.0.1", 0), made.gateway.stopping, bounds) as port,
        ):
            assert made.gateway.feed is not None
            yield Live(f"http://127.0.0.1:{port}", made.gateway.feed, projector, database, client)


@pytest.fixture
async def live(read_settings: Settings, database: Database, client: Redis) -> AsyncIterator[Live]:
    async with serve(read_settings, database, client) as live:
        yield live


def versions(events: list[Event]) -> list[tuple[str, int]]:
    return [(each.data["stream"], each.data["version"]) for each in events]


async def test_from_now_on_everything_comes_in_order(live: Live) -> None:
    await live.apply(*history(comment("before")))
    async with following(live.url) as feed:
        assert feed.status == 200
        assert b"content-type: text/event-stream" in feed.head
        await live.apply(*history(comment(1), "p", updates=2, deleted=True))
        first = await feed.take(4)
        assert [each.name for each in first] == ["comment.created", "comment.updated", "comment.updated", "comment.deleted"]
        assert versions(first) == [("comment-1", version) for version in range(1, 5)]
        assert first[0].data["data"] == {"picture_id": "p", "author": "ann", "text": "first of comment-1"}
        assert {each.data["picture_id"] for each in first} == {"p"}
        await live.apply(*history(comment(2)))
        assert versions([await feed.next(2)]) == [("comment-2", 1)]


async def test_wherever_it_is_cut_it_resumes_without_a_loss_or_a_repeat(live: Live) -> None:
    chance = random.Random(3)
    written = [history(comment(number), f"p{number % 2}", updates=5) for number in range(12)]

    async def write() -> None:
        for commits in written:
            await live.apply(*commits[:4])
            await live.apply(*commits[4:])

    async with following(live.url) as feed:
        last = feed.last_id
    seen: list[Event] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        while len(seen) < 72:
            async with following(live.url, last_id=last or "0-0-0") as feed:
                seen += await feed.take(min(chance.randint(1, 17), 72 - len(seen)))
                last = feed.last_id
    assert sorted(versions(seen)) == sorted((comment(number), version) for number in range(12) for version in range(1, 7))
    for number in range(12):
        assert [version for stream, version in versions(seen) if stream == comment(number)] == list(range(1, 7))


async def test_one_picture_and_a_resume_that_passes_over_the_others(live: Live) -> None:
    async with following(live.url, "/events?picture_id=mine") as feed, following(live.url, "/events?picture_id=none") as quiet:
        for number in range(6):
            await live.apply(*history(comment(number), "mine" if number % 3 == 0 else "other"))
        mine = await feed.take(2)
        assert [each.data["stream"] for each in mine] == ["comment-0", "comment-3"]
        with pytest.raises(TimeoutError):
            await quiet.next(0.3)
    async with following(live.url, f"/events?picture_id=other&since={mine[0].id}") as feed:
        assert [each.data["stream"] for each in await feed.take(4)] == ["comment-1", "comment-2", "comment-4", "comment-5"]


async def test_a_heartbeat_moves_where_a_quiet_feed_resumes(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "HEARTBEAT_SECONDS", 0.2)
    async with following(live.url, "/events?picture_id=quiet") as feed, following(live.url) as other:
        await live.apply(*history(comment(1), "loud"))
        loud = await other.next()
        with pytest.raises(TimeoutError):
            await feed.next(1.0)
        last = feed.last_id
    async with following(live.url, last_id=last) as feed:
        await live.apply(*history(comment(2), "loud"))
        assert (await feed.next()).data["stream"] == "comment-2"
        assert loud.id != last


async def test_since_a_time(live: Live) -> None:
    await live.apply(*history(comment(1)))
    at = rfc3339(now())
    await live.apply(*history(comment(2)))
    async with following(live.url, f"/events?since={at}") as feed:
        assert feed.last_id == ""  # who is cut off now asks for the same time again
        await live.apply(*history(comment(3)))
        assert [each.data["stream"] for each in await feed.take(2)] == ["comment-2", "comment-3"]
    for number, later in enumerate(("2999-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"), 4):
        async with following(live.url, f"/events?since={later}") as feed:
            await live.apply(*history(comment(number)))
            assert (await feed.next()).data["stream"] == comment(number)
    async with following(live.url, "/events?since=0001-01-01T00:00:00%2B01:00") as feed:
        assert (await feed.next()).data["stream"] == "comment-1"


async def test_who_comes_from_before_what_is_kept_is_told(live: Live) -> None:
    async with following(live.url) as feed:
        start = feed.last_id or "0-0-0"
        await live.apply(*history(comment(1)))
        await live.apply(*history(comment(2)))
        first = await feed.next()
    await prune(live.database.engine, 0)
    await live.apply(*history(comment(3)))
    for last in ("0-0-0", start, first.id, "9000000000-1-1"):
        async with following(live.url, last_id=last) as feed:
            found = await feed.take(2)
            if last == first.id and found[0].name != "reset":  # what the gateway still has in memory is not lost
                assert [each.data["stream"] for each in found] == ["comment-2", "comment-3"]
                continue
            assert (found[0].name, found[1].data["stream"]) == ("reset", "comment-3")
        async with following(live.url, last_id=found[0].id) as feed:
            assert (await feed.next()).data["stream"] == "comment-3"


async def test_what_is_asked_wrongly_is_refused(live: Live) -> None:
    async with httpx.AsyncClient(base_url=live.url) as client:
        for query in (
            "since=yesterday",
            "since=1-2",
            "since=2026-01-01T00:00:00",
            "picture_id=a/b",
            "picture_id=",
            "x=1",
            "since=0-0-0&since=0-0-0",
        ):
            answer = await client.get(f"/events?{query}")
            assert (answer.status_code, answer.json()["code"]) == (400, "malformed"), query
        assert (await client.get("/events", headers={"Last-Event-ID": "42"})).status_code == 400
        assert (await client.head("/events")).headers["content-type"] == "text/event-stream"
        assert (await client.post("/events")).status_code == 405


async def test_the_python_client_follows(live: Live) -> None:
    async with Client(live.url) as client:
        changes = client.changes(picture_id="mine", since=rfc3339(now()))
        first = asyncio.ensure_future(anext(changes))
        await live.apply(*history(comment(1), "mine", updates=1), *history(comment(2), "other"))
        got = await first
        assert (got.name, got.stream, got.version, got.picture_id) == ("comment.created", "comment-1", 1, "mine")
        assert (await anext(changes)).version == 2
        await changes.aclose()
    async with following(live.url, f"/events?since={got.id}") as feed:
        assert sorted(versions(await feed.take(2))) == [("comment-1", 2), ("comment-2", 1)]


async def test_only_so_many_follow(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.feed, "_most", 2)
    async with following(live.url) as first, following(live.url):
        await live.apply(*history(comment(1)))
        await first.next()
        async with following(live.url) as third:
            assert third.status == 503
            assert b"retry-after: 5" in third.head
    await until(lambda: FEED_FOLLOWERS._value.get() == 0)
    async with following(live.url) as third:
        assert third.status == 200


async def test_without_redis_it_comes_a_little_later(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    async with following(live.url) as feed:
        await live.client.client_kill_filter(_type="pubsub")
        monkeypatch.setattr(live.projector, "_stack", "elsewhere")
        await live.apply(*history(comment(1)))
        assert (await feed.next(3)).data["stream"] == "comment-1"


async def test_it_outlives_its_connections_and_something_foreign_that_holds_the_server_back(live: Live, database_url: str) -> None:
    foreign = await asyncpg.connect(database_url)
    try:
        async with foreign.transaction(), AsyncExitStack() as callers:
            await foreign.execute("SELECT pg_current_xact_id()")
            feed = await callers.enter_async_context(following(live.url))
            await live.apply(*history(comment(1)))
            assert (await feed.next(5)).data["stream"] == "comment-1"
            ended = await foreign.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1 AND query LIKE '%SELECT%'",
                live.database.engine.url.database,
            )
            assert ended > 0
            await live.apply(*history(comment(2)))
            assert (await feed.next(5)).data["stream"] == "comment-2"
    finally:
        await foreign.close()


LARGE = 120
"""Events of 80 KB: more than the system's own buffers of a connection take."""


async def apply_large(live: Live, reader: SseFeed) -> None:
    """While somebody else reads along."""
    for start in range(0, LARGE, 10):
        await live.apply(*(commit(comment(number), 1, 0, CommentCreated("p", "ann", "x" * 80_000)) for number in range(start, start + 10)))
        await reader.take(10)


async def test_who_does_not_read_is_cut_off_and_comes_back_for_all_of_it(
    read_settings: Settings, database: Database, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a ring too small for what it leaves behind: it goes on from PostgreSQL."""
    monkeypatch.setattr(tail_module, "RING_BATCHES", 2)
    seen: list[Event] = []
    async with serve(read_settings, database, client, Bounds(write_seconds=0.5)) as live, following(live.url) as quick:
        async with following(live.url, limit=2**10) as slow:
            await apply_large(live, quick)
            await until(lambda: FEED_FOLLOWERS._value.get() == 1)
            with suppress(EOFError):
                while True:
                    seen.append(await slow.next())
            assert 0 < len(seen) < LARGE
        async with following(live.url, last_id=seen[-1].id, limit=2**18) as again:
            seen += await again.take(LARGE - len(seen))
    assert sorted(versions(seen)) == sorted((comment(number), 1) for number in range(LARGE))


async def test_a_stop_ends_them_all_at_once_also_who_does_not_read(read_settings: Settings, database: Database, client: Redis) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as callers:
        async with serve(read_settings, database, client) as live:
            await callers.enter_async_context(following(live.url, limit=2**10))
            feed = await callers.enter_async_context(following(live.url, limit=2**18))
            await apply_large(live, feed)
            began = loop.time()
        assert loop.time() - began < 3
        with pytest.raises(EOFError):
            await feed.next()
