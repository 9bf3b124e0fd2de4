"""Redis frozen, flushed and killed: the write side goes on, and what was applied can still be asked for."""

import asyncio
import os
import signal
import uuid
from typing import Any

import httpx

from headrace.local import state
from runtime.redis_client import open_redis
from runtime.settings import load
from tests.acceptance.stack import Live

POSTS = 40
FROZEN_SECONDS = 20.0


async def created(client: httpx.AsyncClient, text: str, **headers: str) -> dict[str, Any]:
    """The receipt of a new comment under a key of its own."""
    sent = {"Idempotency-Key": uuid.uuid4().hex, **headers}
    answer = await client.post(f"/pictures/{uuid.uuid4().hex}/comments", json={"text": text}, headers=sent)
    assert answer.status_code in {201, 202}, answer.text
    receipt: dict[str, Any] = answer.json()
    return receipt


async def applied(client: httpx.AsyncClient, receipt: dict[str, Any]) -> dict[str, Any]:
    """Its status once it is no longer pending, read from wherever it is known."""
    async with asyncio.timeout(FROZEN_SECONDS):
        while True:
            answer = await client.get(f"{receipt['status_url']}&wait=2")
            if answer.status_code == 200 and answer.json()["status"] != "pending":
                found: dict[str, Any] = answer.json()
                return found
            await asyncio.sleep(0.1)


async def test_with_redis_frozen_commands_are_accepted_decided_and_found_in_their_streams(stack: Live) -> None:
    redis = stack.pid("redis")
    async with stack.client() as client:
        before = await created(client, "before", Prefer="wait=10")
        os.kill(redis, signal.SIGSTOP)
        try:
            async with asyncio.timeout(FROZEN_SECONDS):
                receipts = await asyncio.gather(*(created(client, f"frozen {number}") for number in range(POSTS)))
            statuses = await asyncio.gather(*(applied(client, each) for each in receipts))
            waited = await created(client, "waited for", Prefer="wait=10")
            read = await client.get(f"/comments/{before['stream'].removeprefix('comment-')}")
        finally:
            os.kill(redis, signal.SIGCONT)
    assert {each["status"] for each in statuses} == {"applied"}
    assert waited["status"] == "applied"
    assert (read.status_code, read.headers["Headrace-Source"]) == (200, "database")


async def test_applied_outcomes_outlive_a_flush_and_the_death_of_redis(stack: Live) -> None:
    async with stack.client() as client:
        receipts = [await created(client, f"kept {number}", Prefer="wait=10") for number in range(5)]
        async with open_redis(load(dict(os.environ) | state.environment(stack.folder))) as redis:
            await redis.flushall()
        for each in receipts:
            status = await client.get(each["status_url"])
            assert (status.status_code, status.json()["status"], status.json()["version"]) == (200, "applied", 1)
        killed = stack.pid("redis")
        os.kill(killed, signal.SIGKILL)
        over_the_gap = await created(client, "while it is away")
        assert (await applied(client, over_the_gap))["status"] == "applied"
        repeat = await client.get(receipts[0]["status_url"])
        assert repeat.json()["status"] == "applied"
        async with asyncio.timeout(FROZEN_SECONDS):
            while stack.pid_or_none("redis") in {killed, None}:  # noqa: ASYNC110 - it comes back in its own time
                await asyncio.sleep(0.1)
