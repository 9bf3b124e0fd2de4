"""Races between fills, changes, evictions and flushes: whatever happens, nothing old stays in Redis."""

import asyncio
import random

from events.comments.events import CommentUpdated
from events.ids import StreamId
from readmodel.comments.cached import Found, comment_key, load_keys, newest_key
from readmodel.entries import encode, version_of
from readmodel.pages import Page
from tests.integration.readmodel.conftest import House, write
from tests.unit.readmodel.commits import comment, commit, history


async def test_a_slow_fill_never_lands_over_a_change(house: House) -> None:
    """The race that leases are for, step by step."""
    commits = history(comment(1), "p", updates=1)
    await write(house, commits[0])
    key = comment_key(house.cache.prefix, comment(1))
    value, leased = await house.cache.look(key, "slow")  # a query misses and reads version 1 …
    assert (value, leased) == (None, True)
    await write(house, commits[1])  # … the stream moves on, and the projector takes the lease over
    assert not await house.cache.fill(key, "slow", b'{"format":1,"version":1,"view":null}', 60_000)
    found = await house.reads.comment("1")
    assert (found.source, found.version) == ("cache", 2)


async def test_no_read_is_ever_older_than_what_both_projectors_have_passed(house: House) -> None:
    """Readers, writers, evictions and flushes all at once."""
    streams = [comment(n) for n in range(6)]
    versions = dict.fromkeys(streams, 1)
    await write(house, *(history(stream, "p")[0] for stream in streams))
    dice = random.Random(3)
    over = asyncio.Event()

    async def writer() -> None:
        for number in range(90):
            stream = dice.choice(streams)
            at = versions[stream]
            await write(house, commit(stream, at + 1, at, CommentUpdated(f"{number}")))
            versions[stream] = at + 1
            if number % 15 == 0:
                await house.client.flushall()
            if number % 4 == 0:
                await house.client.delete(comment_key(house.cache.prefix, stream), newest_key(house.cache.prefix, "p"))
        over.set()

    async def reader() -> int:
        stale = 0
        while not over.is_set():
            stream = dice.choice(streams)
            before = versions[stream]
            found = await house.reads.comment(stream.removeprefix("comment-"))
            page = await house.reads.comments("p", Page())
            assert page.value is not None
            listed = next(each.version for each in page.value.comments if comment(each.comment_id) == stream)
            stale += min(found.version or 0, listed) < before
        return stale

    stale = await asyncio.gather(*(reader() for _ in range(4)), writer())
    assert [count for count in stale if count] == []


class Race:
    """Gateways that stand still between reading PostgreSQL and filling, a writer, and evictions."""

    def __init__(self, house: House) -> None:
        self.house, self.dice = house, random.Random(11)
        self.versions = {comment(n): 1 for n in range(3)}
        prefix = house.cache.prefix
        self.keys = [*(comment_key(prefix, stream) for stream in self.versions), newest_key(prefix, "p")]
        self.over, self.written = asyncio.Event(), asyncio.Condition()

    async def load(self, *keys: str) -> dict[str, Found]:
        async with self.house.database.engine.connect() as connection:
            return await load_keys(connection, self.house.cache.prefix, keys)

    async def slow_gateway(self, number: int) -> int:
        """How many of its fills landed."""
        landed = turn = 0
        while not self.over.is_set():
            key, nonce, turn = self.dice.choice(self.keys), f"{number}-{turn}", turn + 1
            _, leased = await self.house.cache.look(key, nonce)
            version, view = (await self.load(key))[key]
            async with self.written:  # the fault under test: a change goes by meanwhile
                if self.dice.random() < 0.7 and not self.over.is_set():
                    await self.written.wait()
            landed += leased and await self.house.cache.fill(key, nonce, encode(version, view), 60_000)
        return landed

    async def older(self) -> list[StreamId]:
        """What Redis holds although both projectors have passed something newer."""
        prefix = self.house.cache.prefix
        heads = {stream: await self.house.client.getrange(comment_key(prefix, stream), 0, 63) for stream in self.versions}
        found = {stream: version_of(head) for stream, head in heads.items()}
        return [stream for stream, version in found.items() if version is not None and version < self.versions[stream]]

    async def writer(self, changes: int) -> list[StreamId]:
        """Everything that was found old, after each change."""
        stale: list[StreamId] = []
        for number in range(changes):
            stream = self.dice.choice(list(self.versions))
            at = self.versions[stream]
            await write(self.house, commit(stream, at + 1, at, CommentUpdated(f"{at}")))
            self.versions[stream] = at + 1
            async with self.written:
                self.written.notify_all()
            stale += await self.older()
            if number % 3 == 0:
                await self.house.client.delete(*self.keys)
        async with self.written:
            self.over.set()
            self.written.notify_all()
        return stale


async def test_slow_fills_among_changes_and_evictions_leave_nothing_old(house: House) -> None:
    race = Race(house)
    await write(house, *(history(stream, "p")[0] for stream in race.versions))
    async with asyncio.TaskGroup() as running:
        gateways = [running.create_task(race.slow_gateway(number)) for number in range(6)]
        stale = await race.writer(60)
    assert stale == []
    assert all(gateway.result() for gateway in gateways)
    there = await race.load(*race.keys)
    found = {key: version_of(await house.client.getrange(key, 0, 63)) for key in race.keys}
    assert {key: version for key, version in found.items() if version not in (None, there[key][0])} == {}


async def test_a_refresh_puts_nothing_where_nothing_is_held(house: House) -> None:
    """Evicted between the question and the refresh: by now the value may be old, and nobody would correct it."""
    key = comment_key(house.cache.prefix, comment(1))
    value = (encode(1, None), 60_000)
    assert await house.cache.held([key], "projector") == []
    assert await house.cache.refresh([key], "projector", [value]) == 0
    await house.cache.look(key, "query")
    assert await house.cache.refresh([key], "projector", [value]) == 0  # that lease is another's
    assert await house.cache.held([key], "projector") == [0]
    assert await house.cache.refresh([key], "projector", [value]) == 1
    assert await house.cache.refresh([key], "projector", [(encode(0, None), 60_000)]) == 0  # never backwards
