"""The command worker on real SQS, DynamoDB and Redis."""

import asyncio
from dataclasses import replace as with_settings
from secrets import token_hex
from time import monotonic

from msgspec.structs import replace

from events.envelope import Command
from events.history import History
from events.outcome import KEPT, REMEMBERED_SECONDS, Notice, Status, command_key
from tests.integration.write_side.conftest import LIMIT, Running, WriteSide
from tests.support.said import REGISTRY, create, delete, empty, update


async def told(write_side: WriteSide, running: Running, *parcels: list[Command]) -> list[Notice]:
    """Send, run the worker, and return what it tells of every command."""
    wanted, found = sum(map(len, parcels)), list[Notice]()
    async with asyncio.timeout(LIMIT), write_side.notices() as notices:
        for each in parcels:
            await write_side.send(each)
        async with running("commands"):
            async for notice in notices:
                found.append(notice)
                if len(found) == wanted:
                    return found
    raise AssertionError


async def stored(write_side: WriteSide, stream: str) -> History:
    blank = empty(stream)
    return blank.absorb(await write_side.store.load(blank.stream), REGISTRY)


async def test_a_parcel_becomes_one_commit_a_stream_and_is_told(write_side: WriteSide, running: Running) -> None:
    ident = token_hex(8)
    said = [create(ident, "שלום 😀 \uffff"), update(ident, "b"), update(ident, "b"), update(ident, "c", actor="bob"), delete(ident)]
    notices = await told(write_side, running, said)
    assert [(each.command_id, each.outcome.status, each.outcome.reason) for each in notices] == [
        (said[0].id, Status.APPLIED, ""),
        (said[1].id, Status.APPLIED, ""),
        (said[2].id, Status.APPLIED, ""),
        (said[3].id, Status.REJECTED, "not_the_author"),
        (said[4].id, Status.APPLIED, ""),
    ]
    commits = await write_side.store.load(said[0].stream)
    assert [(each.first, each.last, len(each.settled)) for each in commits] == [(1, 3, 2)]
    kept = await write_side.redis.hget(command_key(write_side.settings.stack, said[3].stream, said[3].id), "bob")
    assert isinstance(kept, bytes)
    assert KEPT.decode(kept) == notices[3].kept()


async def test_a_parcel_sent_twice_acts_once_and_is_told_the_same(write_side: WriteSide, running: Running) -> None:
    ident = token_hex(8)
    said = [create(ident), update(ident, "b"), update(ident, "b")]
    notices = await told(write_side, running, said, said)
    assert [each.outcome for each in notices[:3]] == [each.outcome for each in notices[3:]]
    assert (await stored(write_side, said[0].stream)).version == 2


async def test_a_refusal_is_remembered_where_the_stream_does_not(write_side: WriteSide, running: Running) -> None:
    """By other workers too, as long as Redis remembers; what left no event at all is remembered alike."""
    ident = token_hex(8)
    early, idle = update(ident, "early"), update(ident, "b")
    refused, _ = await told(write_side, running, [early, create(ident, "b")])
    (unchanged,) = await told(write_side, running, [idle])
    await told(write_side, running, [update(ident, "c")])
    again = await told(write_side, running, [replace(early, repeat=True), replace(idle, repeat=True)])
    assert [each.outcome for each in again] == [refused.outcome, unchanged.outcome]
    assert (refused.outcome.reason, unchanged.outcome.no_effect) == ("comment_not_found", True)
    seconds = [await write_side.redis.ttl(command_key(write_side.settings.stack, each.stream, each.id)) for each in (early, idle)]
    assert min(seconds) > REMEMBERED_SECONDS - 60
    assert (await stored(write_side, early.stream)).state.text == "c"


async def test_a_second_worker_goes_on_where_the_first_stopped(write_side: WriteSide, running: Running) -> None:
    ident = token_hex(8)
    await told(write_side, running, [create(ident)])
    (refused,) = await told(write_side, running, [update(ident, "b", actor="bob")])
    assert (refused.outcome.reason, refused.outcome.version) == ("not_the_author", 1)
    (applied,) = await told(write_side, running, [update(ident, "b")])
    assert applied.outcome.version == 2


async def test_stop_finishes_what_is_in_hand_and_loses_nothing(write_side: WriteSide, running: Running) -> None:
    """As SIGTERM does; what was not in hand is there for the next worker."""
    idents = [token_hex(8) for _ in range(40)]
    async with asyncio.timeout(2 * LIMIT), write_side.notices() as notices:
        for ident in idents:
            await write_side.send([create(ident)])
        async with running("commands") as stop:
            first = await anext(notices)
            stop.set()
            began = monotonic()
        assert monotonic() - began < 5
        ended = {first.stream}
        async with running("commands"):
            async for notice in notices:
                ended.add(notice.stream)
                if len(ended) == len(idents):
                    break
    assert [(await stored(write_side, f"comment-{ident}")).version for ident in idents] == [1] * len(idents)


async def test_poison_is_buried_with_its_reason_and_its_group_goes_on(write_side: WriteSide, running: Running) -> None:
    said = create(token_hex(8))
    partition = write_side.facts.partitions
    await write_side.send([said], body='{"Type":"Notification"}')
    (notice,) = await told(write_side, running, [said])
    assert notice.outcome.status is Status.APPLIED
    assert partition > 0
    async with asyncio.timeout(LIMIT):
        async for message in write_side.messages("commands-dead"):
            assert message["Body"] == '{"Type":"Notification"}'
            assert "wire" in message["MessageAttributes"]["reason"]["StringValue"]
            break


async def test_without_redis_commands_are_decided_all_the_same(write_side: WriteSide, running: Running) -> None:
    said = create(token_hex(8))
    await write_side.send([said])
    away = with_settings(write_side.settings, redis_url="redis://127.0.0.1:1/0")
    async with asyncio.timeout(LIMIT), running("commands", away):
        while not await write_side.store.load(said.stream):  # noqa: ASYNC110 - nobody tells, so the store is asked
            await asyncio.sleep(0.02)
    assert (await stored(write_side, said.stream)).version == 1
