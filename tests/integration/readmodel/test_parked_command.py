"""`headrace parked` as operators run it: on a real store, PostgreSQL and Redis; what it says and how it exits."""

import asyncio
import io
import json
import os
import random
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

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

    def environment(self) -> dict[str, str]:
        """For a process of its own."""
        own = {
            "AWS_ENDPOINT_URL": self.settings.aws_endpoint_url or "",
            "HEADRACE_DATABASE_URL": self.settings.database_url,
            "HEADRACE_REDIS_URL": self.settings.redis_url,
            "HEADRACE_STACK": self.settings.stack,
        }
        return {**os.environ, **own}

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
    async with database.engine.connect() as connection:
        fed = await connection.execute(
            text("SELECT max(last_version) FROM headrace.changes WHERE stream = :stream"), {"stream": named("c")}
        )
        assert fed.scalar_one() == 5  # the live feed is told of what a redrive applies


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


@pytest.mark.slow
async def test_a_redrive_killed_anywhere_leaves_every_stream_parked_or_applied(place: Place, database: Database) -> None:
    """`kill -9` of the command itself, each with work in hand; what it had done stays done, and the next one goes on."""
    dice, kills = random.Random(5), 0
    lives = [history(named(f"killed-{n}"), updates=7) for n in range(400)]
    await place.projecting.project([each for life in lives for each in (life[0], life[-1])])
    for step in range(8):
        for start in range(0, len(lives), 100):
            await place.store.append([life[step] for life in lives[start : start + 100]])
    left = await count_parked(database.engine)
    assert left == 400
    while left:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headrace", "parked", "redrive", "--all", "--state", "/nowhere", env=place.environment()
        )
        begun, wanted = left, dice.uniform(0.05, 0.3)
        while process.returncode is None and left > begun - wanted * 400 and kills < 6:
            await asyncio.sleep(0.005)
            left = await count_parked(database.engine)
        if kills < 6 and process.returncode is None:
            process.kill()
            kills += left > 0
        await process.wait()
        left = await count_parked(database.engine)
        assert await neither(database) == 0
        await (await place.aws.dynamodb()).delete_item(TableName=table_name(place.settings, "control"), Key={"id": {"S": "redrive-parked"}})
    assert kills >= 3
    async with database.engine.connect() as connection:
        found = await connection.execute(text("SELECT DISTINCT version FROM comments"))
        assert [row.version for row in found] == [8]
        counted = await connection.execute(text("SELECT comment_count, revision FROM pictures"))
        assert [tuple(row) for row in counted] == [(400, 3200)]


async def neither(database: Database) -> int:
    """Streams that are not parked and not at their head, in one snapshot."""
    async with database.engine.connect() as connection:
        found = await connection.execute(
            text(
                "SELECT count(*) FROM comments c WHERE version < 8 AND NOT EXISTS (SELECT FROM headrace.parked p WHERE p.stream = c.stream)"
            )
        )
        return int(found.scalar_one())
