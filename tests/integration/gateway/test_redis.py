"""What the gateway keeps in and hears from a real Redis, and what it does without one."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import msgspec
import pytest
from msgspec import Raw
from redis.asyncio import Redis

from events.envelope import Command
from events.ids import CommandId, Fingerprint, StreamId, Version
from events.outcome import (
    PERHAPS_KNOWN,
    REMEMBERED_SECONDS,
    Kept,
    Notice,
    Outcome,
    Status,
    accepted_channel,
    command_key,
    outcomes_channel,
)
from gateway.memory import Claim
from gateway.outcomes import Outcomes
from gateway.preparing import Prepared
from gateway.redis_memory import RedisMemory
from gateway.subscription import RedisNotices
from readmodel.heads import Heads
from runtime.redis_client import open_redis
from runtime.settings import Settings
from runtime.times import Micros
from workers.telling import Teller

APPLIED = Outcome(Status.APPLIED, Version(7))
KEPT = Kept(Status.APPLIED, Version(7), fingerprint="f")


def command(ident: str, fingerprint: str = "f", actor: str = "ann") -> Command:
    return Command(CommandId(ident), "comment.delete", StreamId("comment-1"), Raw(b"{}"), Fingerprint(fingerprint), Micros(1), actor=actor)


def accepted(said: Command, *, key_given: bool = False) -> Prepared:
    return Prepared(said, b"", key_given)


@pytest.fixture
def stack() -> str:
    return f"test{secrets.token_hex(4)}"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(replace(Settings(), redis_url=redis_url)) as client:
        yield client


@pytest.fixture
def memory(redis: Redis, stack: str) -> RedisMemory:
    return RedisMemory(redis, stack)


async def test_the_first_payload_holds_an_id(memory: RedisMemory) -> None:
    first = await memory.claim([command("a"), command("b", "g"), command("a", "h")])
    assert first == [Claim("f"), Claim("g"), Claim("f", repeat=True)]
    assert await memory.claim([command("a", "h"), command("a", "h", actor="bob")]) == [Claim("f", repeat=True), Claim("h")]


async def test_what_a_repeat_came_to_is_remembered_for_its_own_payload_and_caller(memory: RedisMemory, redis: Redis, stack: str) -> None:
    said = command("a")
    refused = Outcome(Status.REJECTED, Version(3), "not_the_author", "why")
    await memory.claim([said])
    await memory.mark([accepted(said)])
    assert await memory.claim([said]) == [Claim("f", repeat=True)]
    await Teller(redis, stack).tell([Notice(said.stream, said.actor, said.id, said.fingerprint, refused)], appended=False)
    assert await memory.claim([said, command("a", "h"), command("a", actor="bob")]) == [
        Claim("f", repeat=True, outcome=refused),
        Claim("f", repeat=True),
        Claim("f"),
    ]


async def test_an_id_goes_back_to_the_command_it_belongs_to(memory: RedisMemory, redis: Redis, stack: str) -> None:
    """Its claim had run out when another payload came under it; the worker found out."""
    other = command("a", "g")
    await memory.claim([other])
    reused = Outcome(Status.REJECTED, Version(3), "command_id_reused", "why", holder="f")
    notices = [Notice(other.stream, other.actor, other.id, other.fingerprint, reused)]
    await Teller(redis, stack).tell([*notices, Notice(other.stream, "bob", CommandId("b"), Fingerprint("g"), APPLIED)], appended=False)
    assert await memory.claim([command("a"), other, command("b", "g", actor="bob")]) == [
        Claim("f", repeat=True),
        Claim("f", repeat=True),
        Claim("g", outcome=APPLIED),
    ]


@pytest.mark.parametrize("actors", [("ann", "ann", "ann"), ("ann", "bob", "ann")])
@pytest.mark.parametrize("key_given", [False, True])
async def test_marks_of_one_caller_and_of_several(memory: RedisMemory, actors: tuple[str, ...], key_given: bool) -> None:
    await memory.mark([accepted(command(f"a{place}", actor=actor), key_given=key_given) for place, actor in enumerate(actors)])
    for place, actor in enumerate(actors):
        known = await memory.known("comment-1", f"a{place}")
        assert known is not None
        assert (known.by_actor, known.repeats) == ({actor: None}, {actor} if key_given else set())


async def test_a_mark_never_hides_an_outcome(memory: RedisMemory, redis: Redis, stack: str) -> None:
    key = command_key(stack, "comment-1", "a")
    await redis.hset(key, "ann", msgspec.json.encode(KEPT))
    await redis.expire(key, 60)
    await memory.mark([accepted(command("a")), accepted(command("b"), key_given=True)])
    outcome, mark = await memory.known("comment-1", "a"), await memory.known("comment-1", "b")
    assert outcome is not None
    assert outcome.by_actor == {"ann": KEPT}
    assert mark is not None
    assert (mark.by_actor, mark.repeats, outcome.repeats) == ({"ann": None}, {"ann"}, set())
    assert 0 <= mark.age < 5
    assert await redis.ttl(key) <= 60
    assert REMEMBERED_SECONDS - 5 < await redis.ttl(command_key(stack, "comment-1", "b")) <= REMEMBERED_SECONDS


async def test_nothing_known_is_not_the_same_as_redis_away(memory: RedisMemory) -> None:
    known = await memory.known("comment-1", "never")
    assert known is not None
    assert known.by_actor == {}


async def test_without_redis_everything_goes_on_quickly(stack: str) -> None:
    async with open_redis(replace(Settings(), redis_url="redis://127.0.0.1:1/0")) as client:
        memory = RedisMemory(client, stack)
        async with asyncio.timeout(1):
            assert await memory.claim([command("a")]) == [Claim("f")]
            await memory.mark([accepted(command("a"))])
            assert await memory.known("comment-1", "a") is None
            with pytest.raises(OSError, match="Connection"):
                await memory.ping()


async def test_a_redis_that_never_answers_costs_little(stack: str) -> None:
    open_ends: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: open_ends.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with open_redis(replace(Settings(), redis_url=f"redis://127.0.0.1:{port}/0")) as client:
        memory = RedisMemory(client, stack)
        loop = asyncio.get_running_loop()
        started = loop.time()
        for _ in range(20):
            assert await memory.claim([command("a")]) == [Claim("f")]
        assert loop.time() - started < 0.8  # three times fifty milliseconds, then it is left alone
    for each in open_ends:
        each.close()
    server.close()


async def test_notices_reach_who_waits_also_after_the_connection_was_lost(redis: Redis, stack: str) -> None:
    outcomes = Outcomes(RedisNotices(redis, outcomes_channel(stack)), Heads().note)
    task = asyncio.create_task(outcomes.run())
    looks = 0

    async def look() -> Outcome | None:
        nonlocal looks
        looks += 1
        return None

    async def heard(ident: str) -> Outcome | None:
        until = asyncio.get_running_loop().time() + 5
        with outcomes.expecting(("comment-1", "ann", ident), "f") as waiter:
            waits = asyncio.create_task(outcomes.outcome(waiter, until, look))
            while not waits.done():
                other = Notice(StreamId("comment-1"), "ann", CommandId(ident), Fingerprint("g"), APPLIED)
                own = Notice(other.stream, "ann", other.command_id, Fingerprint("f"), Outcome(Status.APPLIED, Version(8)))
                await redis.publish(outcomes_channel(stack), msgspec.json.encode([other, own]))
                await asyncio.sleep(0.01)
            return await waits

    first = await heard("a")
    await redis.client_kill_filter(_type="pubsub")
    second = await heard("b")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (first, second) == (Outcome(Status.APPLIED, Version(8)), Outcome(Status.APPLIED, Version(8)))
    assert outcomes.waiting == 0


async def test_whoever_reads_the_queue_hears_of_what_was_accepted(memory: RedisMemory, redis: Redis, stack: str) -> None:
    async with asyncio.timeout(5), redis.pubsub(ignore_subscribe_messages=True) as heard:
        await heard.subscribe(accepted_channel(stack))
        await heard.get_message(timeout=1)  # the subscription itself
        await memory.mark([accepted(command("a")), accepted(command("b"), key_given=True)])
        while (message := await heard.get_message(timeout=1)) is None:
            pass
    assert message["channel"].decode() == accepted_channel(stack)
    assert await redis.hgetall(command_key(stack, "comment-1", "b")) == {b"ann": PERHAPS_KNOWN}
