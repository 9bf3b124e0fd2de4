"""Redis frozen, flushed and killed: the write side goes on, and what was applied can still be asked for."""

import asyncio
import os
import random
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import httpx
import pytest

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
            # Held to its token: a drill before this one may have ended the projector just now.
            held = {"after": before["token"], "wait": "10"}
            read = await client.get(f"/comments/{before['stream'].removeprefix('comment-')}", params=held)
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


class Reading:
    """Readers without end; each answer's time, status and latency, for looking at afterwards."""

    def __init__(self, client: httpx.AsyncClient, receipts: list[dict[str, Any]], picture: str) -> None:
        self._client, self._receipts, self._picture = client, receipts, picture
        self.answers: list[tuple[float, int, float, str]] = []

    async def run(self, seed: int) -> None:
        dice = random.Random(seed)
        while True:
            receipt, began = dice.choice(self._receipts), monotonic()
            paths = [f"/comments/{receipt['stream'].removeprefix('comment-')}", f"/pictures/{self._picture}"]
            held = {"after": receipt["token"]} if dice.random() < 0.5 else {}
            answer = await self._client.get(dice.choice([*paths, f"{paths[1]}/comments"]), params=held)
            self.answers.append((began, answer.status_code, monotonic() - began, answer.headers.get("Headrace-Source", "")))
            await asyncio.sleep(0.01)

    def between(self, began: float, ended: float) -> list[float]:
        """Latencies of the reads that began then, sorted; none may have failed."""
        found = [each for each in self.answers if began <= each[0] < ended]
        assert {status for _, status, _, _ in found} == {200}
        return sorted(latency for _, _, latency, _ in found)


@asynccontextmanager
async def reading(stack: Live) -> AsyncIterator[Reading]:
    picture = uuid.uuid4().hex
    async with stack.client() as client:
        made = [await client.post(f"/pictures/{picture}/comments", json={"text": f"{n}"}, headers={"Prefer": "wait=10"}) for n in range(10)]
        receipts = [each.json() for each in made]
        everything = {"after": [each["token"] for each in receipts], "wait": "10"}
        assert (await client.get(f"/pictures/{picture}", params=everything)).json()["comment_count"] == 10
        reads = Reading(client, receipts, picture)
        tasks = [asyncio.create_task(reads.run(seed)) for seed in range(4)]
        try:
            yield reads
        finally:
            for task in tasks:
                task.cancel()
            broken = [each for each in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(each, Exception)]
        assert broken == []


def p99(latencies: list[float]) -> float:
    return latencies[len(latencies) * 99 // 100]


@pytest.mark.slow
@pytest.mark.long
async def test_reads_go_on_in_time_while_redis_is_frozen_flushed_and_killed(stack: Live) -> None:
    """No 5xx, with a token or without; once the circuit is open, twice the usual p99 at most (and what a machine's noise costs)."""
    async with reading(stack) as reads, open_redis(load(dict(os.environ) | state.environment(stack.folder))) as redis:
        await asyncio.sleep(5)
        quiet = monotonic()
        frozen = stack.pid("redis")
        os.kill(frozen, signal.SIGSTOP)
        try:
            await asyncio.sleep(10)
        finally:
            os.kill(frozen, signal.SIGCONT)
        thawed = monotonic()
        for _ in range(50):
            await redis.flushall()
            await asyncio.sleep(0.1)
        flushed = monotonic()
        os.kill(stack.pid("redis"), signal.SIGKILL)
        await asyncio.sleep(5)
        async with asyncio.timeout(20):
            while reads.answers[-1][3] != "cache":  # noqa: ASYNC110 - a server tells nobody when it is back
                await asyncio.sleep(0.1)
        ended = monotonic()
    usual = p99(reads.between(quiet - 4, quiet))
    phases = {
        "frozen": reads.between(quiet + 1, thawed),
        "flushed": reads.between(thawed + 1, flushed),
        "killed": reads.between(flushed + 1, ended),
    }
    assert reads.between(quiet, ended)[-1] < 2
    assert {name: p99(took) for name, took in phases.items() if p99(took) > 2 * usual + 0.05} == {}, usual
