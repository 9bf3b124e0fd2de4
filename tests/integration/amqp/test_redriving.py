"""What the projector `amqp` has parked, taken up again: sent from where it stood, in order, in bounded transactions."""

import pytest

from events.comments.events import CommentUpdated
from events.memory_store import MemoryStore
from readmodel.control import BESIDE
from readmodel.database import Database
from readmodel.parking import Parked, count_parked, list_parked
from readmodel.projecting import Projecting
from readmodel.redriving import redrive
from tests.integration.amqp.test_publishing import positions
from tests.support.amqp_receiver import receiving
from tests.unit.readmodel.commits import broken, comment, commit, history, stored
from workers.amqp.exchange import Exchange
from workers.amqp.publishing import MOST_EVENTS

UNKNOWN = '[{"name":"order.made.v1","data":{},"at":1,"actor":"a","command_id":"c","fingerprint":"f"}]'


async def parks(database: Database) -> list[Parked]:
    return [each for each in await list_parked(database.engine) if each.generation == BESIDE]


async def test_events_are_sent_from_where_the_stream_stood(
    projecting: Projecting, database: Database, store: MemoryStore, amqp_url: str
) -> None:
    life = history(comment(1), updates=4)
    async with receiving(amqp_url) as receiver:
        await projecting.project([*life[:2], life[3]])  # the store is empty: a hole for ever, as it seems
        await receiver.until(2)
        await stored(store, *life)
        [park] = await parks(database)
        done = await redrive(database.engine, projecting, [park])
        await receiver.until(5)
        assert receiver.of_stream(comment(1)) == [1, 2, 3, 4, 5]
    assert (done.ended, done.again) == ([park], [])
    assert (await positions(database), await count_parked(database.engine, BESIDE)) == ({comment(1): 5}, 0)


async def test_a_long_stream_stays_parked_until_the_last_of_it_is_sent(
    projecting: Projecting, database: Database, store: MemoryStore, exchange: Exchange, *, monkeypatch: pytest.MonkeyPatch, amqp_url: str
) -> None:
    total = 2 * MOST_EVENTS + 100
    life = history(comment(1), updates=total - 1, each=10)
    await projecting.project([life[0], life[-1]])
    await stored(store, *life)
    stood: list[int] = []
    publish = exchange.publish

    async def watched(messages: list[object]) -> object:
        """Before each piece is committed: it is still parked, behind what was sent before."""
        stood.extend([each.first_version for each in await parks(database)])
        return await publish(messages)  # type: ignore[arg-type]

    monkeypatch.setattr(exchange, "publish", watched)
    async with receiving(amqp_url) as receiver:
        done = await redrive(database.engine, projecting, await parks(database))
        await receiver.until(total - 10)
        assert receiver.of_stream(comment(1)) == list(range(11, total + 1))
    assert done.again == []
    assert stood[0] == 11
    assert len(stood) == 3
    assert stood == sorted(set(stood))
    assert await parks(database) == []


async def test_what_stands_in_the_way_in_the_middle_is_what_is_told(
    projecting: Projecting, database: Database, store: MemoryStore, amqp_url: str
) -> None:
    """The pieces after it are not taken for holes."""
    total = MOST_EVENTS - 50
    life = history(comment(1), updates=total - 1, each=10)
    await projecting.project([life[0], life[-1]])
    poison = broken(comment(1), total + 1, total - 9, UNKNOWN)
    more, previous = [], total + 1
    for version in range(total + 2, total + 300):
        more.append(commit(comment(1), version, previous, CommentUpdated(f"text {version}")))
        previous = version
    await stored(store, *life, poison, *more)
    async with receiving(amqp_url) as receiver:
        done = await redrive(database.engine, projecting, await parks(database))
        await receiver.until(total - 10)
    assert [(fault.reason, fault.version) for _, _, fault in done.again] == [("unknown_event", total + 1)]
    [park] = await parks(database)
    assert (park.reason, park.first_version, park.last_version) == ("unknown_event", total + 1, total + 299)
    assert await positions(database) == {comment(1): total}
