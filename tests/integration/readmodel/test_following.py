"""Reads and what Redis keeps, when another generation is read: each process goes over by itself, and nothing goes back."""

import asyncio
from time import monotonic

import pytest

from events.comments.events import CommentUpdated
from readmodel.cache import Cache
from readmodel.comments.cached import READ_COMMENT, comment_key
from readmodel.control import CACHE, READ_MODEL
from readmodel.database import READING, Database, Shown, open_database
from readmodel.entries import encode, prefix
from readmodel.errors import ReadsUnavailable
from readmodel.feeding import read_fed
from readmodel.following import EitherPrefix
from readmodel.generations import drop, feed, feed_not, flip, new_generation
from readmodel.heads import Heads
from readmodel.opening import open_reads
from readmodel.warming import Warming
from tests.integration.readmodel.conftest import House, held, write
from tests.unit.readmodel.commits import REGISTRY, comment, commit, delivery, history


async def second(database: Database) -> int:
    """A generation that has all, fed beside the first."""
    generation = await new_generation(database.engine, READ_MODEL, REGISTRY)
    await feed(database.engine, READ_MODEL, generation)
    return generation


async def versions(house: House, key: str) -> list[int | None]:
    """Under the prefixes of generations 1 and 2."""
    values = await house.cache.peek([f"{house.settings.stack}:g{number}:{key}" for number in (1, 2)])
    entries = [READ_COMMENT(value) if value is not None else None for value in values]
    return [entry.version if entry is not None else None for entry in entries]


async def warmed(house: House, target: Shown) -> Warming:
    warming = Warming(house.client, house.cache, house.database, (Shown(1, 1), target))
    await warming.run()
    return warming


async def test_what_is_held_under_both_prefixes_is_refreshed_under_both(house: House) -> None:
    generation = await second(house.database)
    await write(house, *history(comment("a")))
    await house.reads.comment("a")
    await house.reads.comment("never")
    done = await warmed(house, Shown(generation, 1))
    assert done.looked == 2
    assert await versions(house, "comment:comment-a") == [1, 1]
    assert await versions(house, "comment:comment-never") == [0, 0]
    await write(house, commit(comment("a"), 2, 1, CommentUpdated("more")))
    assert await versions(house, "comment:comment-a") == [2, 2]
    assert (await warmed(house, Shown(generation, 1))).put == 0


async def test_a_value_that_was_behind_is_brought_up_by_the_warming_itself(house: House) -> None:
    generation = await second(house.database)
    await write(house, *history(comment("a")))
    await house.reads.comment("a")
    late = commit(comment("a"), 2, 1, CommentUpdated("more"))
    await house.store.append([late])
    await house.rds.handle([delivery(late)])  # the cache projector has not heard of it
    assert await versions(house, "comment:comment-a") == [1, None]
    await warmed(house, Shown(generation, 1))
    assert await versions(house, "comment:comment-a") == [2, 2]


async def test_after_a_switch_it_is_looked_under_both_prefixes_for_a_while(house: House) -> None:
    stack = house.settings.stack
    cache = Cache(house.client, stack, 2, seconds=2.0)
    key = comment_key(cache.prefix, comment("a"))
    await house.client.set(comment_key(house.cache.prefix, comment("a")), encode(5, None))
    soon = EitherPrefix(house.database.at(2), cache, house.cache.prefix, monotonic() + 60)
    later = EitherPrefix(house.database.at(2), cache, house.cache.prefix, monotonic())
    found = await soon.look(key, READ_COMMENT)
    assert found.entry is not None
    assert found.entry.version == 5
    assert (await later.look(key, READ_COMMENT)).entry is None
    await house.client.set(key, encode(6, None))
    found = await soon.look(key, READ_COMMENT)
    assert found.entry is not None
    assert found.entry.version == 6


async def test_two_processes_go_over_each_in_its_time_and_agree_meanwhile(house: House) -> None:
    generation = await second(house.database)
    await write(house, *history(comment("a"), "p"))
    async with (
        open_reads(house.settings, house.store, Heads()) as one,
        open_reads(house.settings, house.store, Heads()) as other,
    ):
        assert (await one.comment("a")).version == (await other.comment("a")).version == 1
        await warmed(house, Shown(generation, 1))
        assert await flip(house.database.engine, READ_MODEL, generation)
        await one.look()
        for version in range(2, 12):
            await write(house, commit(comment("a"), version, version - 1, CommentUpdated(f"text {version}")))
            found = [await reads.comment("a", held(comment("a"), version)) for reads in (one, other)]
            assert [each.version for each in found] == [version, version]
            pictures = [await reads.picture("p", held(comment("a"), version)) for reads in (one, other)]
            assert [each.version for each in pictures] == [version, version]
            assert (await other.projected(comment("a"), version)) == {"rds": True, "cache": True}
        await other.look()
        await feed_not(house.database.engine, READ_MODEL, 1)
        await drop(house.database.engine, 1)
        assert (await other.comment("a", held(comment("a"), 11))).version == 11


async def test_a_read_whose_generation_is_dropped_under_it_is_asked_again_of_the_other(house: House) -> None:
    generation = await second(house.database)
    await write(house, *history(comment("a")))
    async with open_reads(house.settings, house.store, Heads()) as reads:
        await flip(house.database.engine, READ_MODEL, generation)
        await feed_not(house.database.engine, READ_MODEL, 1)
        await drop(house.database.engine, 1)
        await house.client.flushall()
        answers = await asyncio.gather(*(reads.comment("a") for _ in range(20)))
        assert {answer.version for answer in answers} == {1}
        assert (await reads.projected(comment("a"), 1))["rds"]
    await write(house, commit(comment("a"), 2, 1, CommentUpdated("the projectors went over, too")))
    assert (await read_fed(house.database.engine)).generations == (generation,)


async def test_without_any_generation_reads_are_unavailable(house: House) -> None:
    async with open_reads(house.settings, house.store, Heads()) as reads:
        async with open_database(house.settings, READING) as database, database.engine.connect() as connection:
            await connection.exec_driver_sql("DROP SCHEMA rds_1 CASCADE")
        with pytest.raises(ReadsUnavailable):
            await reads.comment("nobody looked at")


async def test_the_caches_generations_are_refreshed_side_by_side(house: House) -> None:
    await write(house, *history(comment("a")))
    await house.reads.comment("a")
    new = await new_generation(house.database.engine, CACHE)
    await feed(house.database.engine, CACHE, new)
    await warmed(house, Shown(1, new))
    await write(house, commit(comment("a"), 2, 1, CommentUpdated("more")))
    value = (await house.cache.peek([comment_key(prefix(house.settings.stack, 1, new), comment("a"))]))[0]
    assert value is not None
    entry = READ_COMMENT(value)
    assert entry is not None
    assert entry.version == 2
