"""`headrace parked` as operators run it: on a real store, PostgreSQL and Redis; what it says and how it exits."""

import io
import json
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

import pytest
from redis.asyncio import Redis

from events.dynamo_store import DynamoStore, open_store
from events.envelope import Commit
from events.ids import StreamId, Version
from events.outcome import projected_channel
from headrace.dead.alone import Redriving, alone
from headrace.parked.command import _carry_out, arguments
from readmodel.control import BESIDE
from readmodel.database import Database
from readmodel.parking import count_parked
from readmodel.parks import write_parks
from readmodel.planning import Fault, Unit
from readmodel.projecting import Projecting
from runtime.aws import Aws, open_aws
from runtime.metrics import REGISTRY as METRICS
from runtime.settings import Settings
from runtime.stack import load_stack, table_name
from tests.unit.readmodel.commits import REGISTRY, broken, comment, history
from workers import parks
from workers.amqp.publishing import PROJECTION


@dataclass
class Place:
    """A stack with a read model of this test's own."""

    settings: Settings
    aws: Aws
    store: DynamoStore
    projecting: Projecting

    async def run(self, *words: str) -> tuple[int, Any, str]:
        """(exit code, the object on stdout, all that was said)."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = await _carry_out(self.settings, asked(*words, "--json"))
        return code, json.loads(out.getvalue().splitlines()[-1]), out.getvalue() + err.getvalue()

    async def parked(self, *lives: list[Commit]) -> None:
        """Before the store has them; then it has."""
        await self.projecting.project([each for life in lives for each in (life[0], life[-1])])
        for life in lives:
            for each in life:
                await self.store.append([each])


@pytest.fixture
async def place(settings: Settings, read_settings: Settings, database: Database) -> AsyncIterator[Place]:
    own = replace(settings, database_url=read_settings.database_url, redis_url=read_settings.redis_url)
    async with open_aws(own) as aws:
        store = await open_store(aws, await load_stack(await aws.dynamodb(), own), own)
        yield Place(own, aws, store, Projecting(database, REGISTRY, store))


def asked(*words: str) -> Namespace:
    parser = ArgumentParser()
    arguments(parser)
    return parser.parse_args(words)


def named(name: str) -> StreamId:
    return comment(f"parked-{name}")


@asynccontextmanager
async def listening(client: Redis, channel: str) -> AsyncIterator[Any]:
    async with client.pubsub(ignore_subscribe_messages=True) as subscription:
        await subscription.subscribe(channel)
        await subscription.get_message(timeout=5)
        yield subscription


async def test_parked_streams_are_listed_redriven_and_discarded(place: Place, database: Database, client: Redis) -> None:
    poisoned = [*history(named("a"), updates=1), broken(named("a"), 3, 2, '[{"name":"comment.updated.v1"}]')]
    await place.parked(poisoned, *(history(named(each), updates=4) for each in ("b", "c", "d")))

    code, found, _ = await place.run("list", "--most", "3")
    assert (code, found["streams"], found["discarded_streams"]) == (0, 4, 0)
    assert [each["stream"] for each in found["parked"]] == [named("a"), named("b"), named("c")]
    first = found["parked"][0]
    assert (first["projector"], first["reason"], first["first_version"], first["last_version"]) == ("comments", "unreadable", 3, 3)
    assert "text" not in first["detail"].replace("Object missing", "")
    code, found, _ = await place.run("list", "--after", found["next"])
    assert ([each["stream"] for each in found["parked"]], found["next"]) == ([named("d")], None)

    code, done, said = await place.run("redrive", named("a"), named("b"), "comment-nobody")
    assert (code, done["redriven"]) == (1, [{"stream": named("b"), "projector": "comments"}])
    assert [each["stream"] for each in done["parked"]] == [named("a")]
    assert done["not_found"] == ["comment-nobody"]
    assert f"{named('a')} stays parked by comments: unreadable at version 3" in said
    assert "comment-nobody is not parked" in said

    code, done, said = await place.run("discard", named("a"))
    assert (code, done["discarded"]) == (0, [{"stream": named("a"), "projector": "comments"}])
    assert "park discarded" in said
    async with listening(client, projected_channel(place.settings.stack, "rds")) as told:
        code, done, _ = await place.run("redrive", "--all")
        assert (code, [each["stream"] for each in done["redriven"]]) == (0, [named("c"), named("d")])
        message = await told.get_message(timeout=5)
        assert json.loads(message["data"]) == [[named("c"), 5], [named("d"), 5]]
    assert (await count_parked(database.engine), await count_parked(database.engine, discarded=True)) == (0, 1)


async def test_what_the_projector_amqp_has_parked_is_not_redriven_without_a_broker(place: Place, database: Database) -> None:
    unit = Unit(PROJECTION, named("sent"), [], Version(1))
    async with database.engine.begin() as connection:
        await write_parks(database.within(connection, BESIDE), BESIDE, [(unit, Fault("gap", "for this test", Version(1)))])
    await place.parked(history(named("seen"), updates=2))
    code, done, said = await place.run("redrive", "--all")
    assert (code, [each["stream"] for each in done["redriven"]]) == (1, [named("seen")])
    assert f"{named('sent')} stays parked by amqp: HEADRACE_AMQP_URL is not set" in said
    assert await count_parked(database.engine, BESIDE) == 1


async def test_one_at_a_time(place: Place) -> None:
    async with alone(await place.aws.dynamodb(), table_name(place.settings, "control"), "redrive-parked"):
        with pytest.raises(Redriving, match="another redrive is under way"):
            await _carry_out(place.settings, asked("redrive", "--all"))


async def test_the_gauges_say_what_postgresql_has(place: Place, database: Database) -> None:
    def gauge(name: str, **labels: str) -> float | None:
        return METRICS.get_sample_value(f"headrace_{name}_streams", labels)

    await place.parked(*(history(named(f"gauge-{each}"), updates=4) for each in "ab"))
    await parks.count(database.engine, "rds")
    assert (gauge("parked", reason="gap"), gauge("parked", reason="fork"), gauge("discarded")) == (2, 0, 0)
    assert await _carry_out(place.settings, asked("discard", named("gauge-a"))) == 0
    assert await _carry_out(place.settings, asked("redrive", named("gauge-b"))) == 0
    await parks.count(database.engine, "rds")
    assert (gauge("parked", reason="gap"), gauge("discarded")) == (0, 1)
    await parks.count(database.engine, "amqp")
    assert gauge("discarded") == 0
