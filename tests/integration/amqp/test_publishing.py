"""Commits out to a real RabbitMQ: every event, in order a stream, under an id that stays the same; nothing moves unconfirmed."""

import asyncio
import random

import msgspec
import pytest
from sqlalchemy import text

from events.comments.events import CommentUpdated
from events.ids import Version
from events.memory_store import MemoryStore
from events.parcel import Stub
from readmodel.control import BESIDE
from readmodel.database import Database
from readmodel.parking import count_parked, list_parked
from readmodel.projecting import Projecting
from readmodel.verdicts import Verdict
from runtime.amqp import AmqpAway
from runtime.metrics import REGISTRY as METRICS
from runtime.times import Micros
from tests.support.amqp_receiver import receiving
from tests.unit.readmodel.commits import REGISTRY, broken, comment, commit, history, stored
from workers.amqp.exchange import Exchange, open_exchange
from workers.amqp.messages import EventMessage
from workers.amqp.publishing import MOST_EVENTS, publishing


async def positions(database: Database) -> dict[str, int]:
    async with database.engine.connect() as connection:
        found = await connection.execute(text("SELECT stream, version FROM headrace.published"))
        return {row.stream: row.version for row in found}


async def test_every_event_of_many_streams_comes_once_and_in_order_whatever_the_batches(
    projecting: Projecting, database: Database, store: MemoryStore, amqp_url: str
) -> None:
    dice = random.Random(11)
    lives = {comment(n): history(comment(n), updates=n % 7, deleted=n % 3 == 0, each=1 + n % 2) for n in range(40)}
    commits = await stored(store, *(each for life in lives.values() for each in life))
    batch = commits * 2
    dice.shuffle(batch)
    heads = {stream: life[-1].last for stream, life in lives.items()}
    async with receiving(amqp_url) as receiver:
        for start in range(0, len(batch), 17):
            await projecting.project(batch[start : start + 17])
        await receiver.until(sum(heads.values()))
        assert {stream: receiver.of_stream(stream) for stream in heads} == {s: list(range(1, head + 1)) for s, head in heads.items()}
    assert receiver.ids == [f"{body['stream']}@{body['version']}" for body in receiver.bodies]
    assert await positions(database) == heads


async def test_what_was_delivered_before_is_not_sent_again(projecting: Projecting, amqp_url: str) -> None:
    commits = history(comment(1), updates=2)
    async with receiving(amqp_url) as receiver:
        await projecting.project(commits)
        again = await projecting.project(commits)
        await projecting.project(history(comment(2)))  # whatever came of the second is before this
        await receiver.until(4)
        assert again.counts == {Verdict.DUPLICATE: 3}
        assert receiver.ids == ["comment-1@1", "comment-1@2", "comment-1@3", "comment-2@1"]


async def test_a_hole_is_filled_from_the_store_and_a_stub_read_there(projecting: Projecting, store: MemoryStore, amqp_url: str) -> None:
    commits = await stored(store, *history(comment(1), updates=5))
    async with receiving(amqp_url) as receiver:
        await projecting.project([commits[2]])
        await projecting.project([], [Stub(comment(1), commits[5].first, commits[5].last)])
        await receiver.until(6)
        assert receiver.of_stream(comment(1)) == [1, 2, 3, 4, 5, 6]


async def test_a_long_stream_is_sent_in_bounded_transactions(
    projecting: Projecting, store: MemoryStore, exchange: Exchange, monkeypatch: pytest.MonkeyPatch, amqp_url: str
) -> None:
    sizes: list[int] = []
    publish = exchange.publish

    async def counted(messages: list[object]) -> object:
        sizes.append(len(messages))
        return await publish(messages)  # type: ignore[arg-type]

    monkeypatch.setattr(exchange, "publish", counted)
    total = 2 * MOST_EVENTS + 200
    commits = await stored(store, *history(comment(1), updates=total - 1, each=7))
    async with receiving(amqp_url) as receiver:
        await projecting.project([commits[-1]])
        await receiver.until(total)
        assert receiver.of_stream(comment(1)) == list(range(1, total + 1))
    assert len(sizes) == 3
    assert max(sizes) <= MOST_EVENTS


async def test_poison_parks_its_stream_and_no_other(projecting: Projecting, database: Database, amqp_url: str) -> None:
    poison = broken(comment(1), 2, 1, '[{"name":"order.made.v1","data":{},"at":1,"actor":"a","command_id":"c","fingerprint":"f"}]')
    async with receiving(amqp_url) as receiver:
        await projecting.project([*history(comment(1)), poison, *history(comment(2), updates=1)])
        later = await projecting.project([commit(comment(1), 3, 2, CommentUpdated("later"))])
        await receiver.until(3)
        assert sorted(receiver.ids) == ["comment-1@1", "comment-2@1", "comment-2@2"]
    [parked] = await list_parked(database.engine)
    assert (parked.projector, parked.stream, parked.reason, parked.first_version) == ("amqp", comment(1), "unknown_event", 2)
    assert later.counts == {Verdict.PARKED: 1}
    assert (await count_parked(database.engine), await count_parked(database.engine, BESIDE)) == (1, 1)
    assert await count_parked(database.engine, database.generation) == 0


@pytest.mark.parametrize("at", [-1, 2**62])
async def test_a_time_that_amqp_cannot_say_parks(projecting: Projecting, database: Database, at: int) -> None:
    event = f'[{{"name":"comment.deleted.v1","data":{{}},"at":{at},"actor":"a","command_id":"c","fingerprint":"f"}}]'
    await projecting.project([broken(comment(1), 1, 0, event)])
    assert [each.reason for each in await list_parked(database.engine)] == ["projection_failed"]


async def test_what_no_queue_is_bound_for_is_counted_and_passed(projecting: Projecting, database: Database, amqp_url: str) -> None:
    def counted() -> float:
        return METRICS.get_sample_value("headrace_discards_total", {"hop": "amqp", "reason": "unroutable"}) or 0.0

    before = counted()
    async with receiving(amqp_url, "comment.created") as receiver:
        await projecting.project([*history(comment(1), updates=3), *history(comment(2))])
        await receiver.until(2)
        assert sorted(receiver.ids) == ["comment-1@1", "comment-2@1"]
    assert counted() - before == 3
    assert await positions(database) == {comment(1): 4, comment(2): 1}


async def test_nothing_moves_when_the_broker_refuses(projecting: Projecting, database: Database, exchange: Exchange, amqp_url: str) -> None:
    """A full queue that refuses is answered with a nack."""
    commits = history(comment(1), updates=3)
    async with receiving(amqp_url, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}):
        with pytest.raises(AmqpAway, match="DeliveryError"):
            await projecting.project(commits)
        with pytest.raises(AmqpAway, match="not connected"):  # who was refused connects anew
            await projecting.project(commits)
    assert await positions(database) == {}
    async with receiving(amqp_url) as receiver:
        await exchange.ready()
        await projecting.project(commits)
        await receiver.until(4)
        assert receiver.of_stream(comment(1)) == [1, 2, 3, 4]


async def test_nothing_moves_when_confirms_are_late(database: Database, store: MemoryStore, amqp_url: str) -> None:
    async with open_exchange(amqp_url, "hasty") as exchange:
        await exchange.ready()
        exchange._seconds = 0.0
        with pytest.raises(AmqpAway, match="not confirmed within 0 s"):
            await publishing(database, REGISTRY, store, exchange).project(history(comment(1)))
    assert await positions(database) == {}


async def test_a_cancelled_batch_is_cancelled_and_its_channel_not_used_again(exchange: Exchange, amqp_url: str) -> None:
    message = EventMessage("comment.created", "comment-1@1", b"{}", Micros(0), "c")
    async with receiving(amqp_url, "last") as receiver:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await exchange.publish([message] * 50)
        with pytest.raises(AmqpAway, match="not connected"):
            await exchange.publish([message])
        await exchange.ready()
        assert not await exchange.publish([msgspec.structs.replace(message, routing_key="last", id="comment-1@2")])
        await receiver.until(1)
        assert receiver.ids == ["comment-1@2"]


async def test_projectors_side_by_side_send_each_event_once_and_in_order(
    database: Database, store: MemoryStore, exchange: Exchange, amqp_url: str
) -> None:
    commits = await stored(store, *(each for n in range(30) for each in history(comment(n), updates=3)))

    async def one(other: Exchange, seed: int) -> None:
        dice, mine = random.Random(seed), commits[:]
        dice.shuffle(mine)
        projecting = publishing(database, REGISTRY, store, other)
        for start in range(0, len(mine), 20):
            await projecting.project(mine[start : start + 20])

    async with open_exchange(amqp_url, "other") as other, receiving(amqp_url) as receiver:
        await other.ready()
        async with asyncio.TaskGroup() as both:
            for seed in range(4):
                both.create_task(one((exchange, other)[seed % 2], seed))
        await receiver.until(len(commits))
        assert {n: receiver.of_stream(comment(n)) for n in range(30)} == {n: [1, 2, 3, 4] for n in range(30)}
    assert set((await positions(database)).values()) == {Version(4)}
