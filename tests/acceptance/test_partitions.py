"""The number of partitions is changed, twice, under callers who await each 202 and come again on 503, through two gateways."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.local import state
from headrace.local.ports import free_port
from tests.acceptance.stack import Live, headrace, stack_up

pytestmark = pytest.mark.slow

COMMENTS = 3
CALLERS = 2
"""Of each comment."""
PACE_SECONDS = 0.03
CHANGE_SECONDS = 120.0
AUTHOR = {"Headrace-Actor": "ann"}


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Live]:
    async with stack_up(tmp_path / "state", {"HEADRACE_VISIBILITY_SECONDS": "5", "HEADRACE_LEASE_SECONDS": "2"}) as found:
        yield found


@asynccontextmanager
async def further_gateway(stack: Live, more: dict[str, str]) -> AsyncIterator[tuple[Process, str]]:
    """Another gateway of the same stack, once it is ready."""
    bind = f"127.0.0.1:{free_port()}"
    told = {**os.environ, **state.environment(stack.folder), "HEADRACE_BIND": bind, **more}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace", "run", "gateway", env=told, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        async with asyncio.timeout(30), httpx.AsyncClient(trust_env=False) as client:
            while not await _ready(client, f"http://{bind}/readyz"):  # noqa: ASYNC110 - another process, which tells nobody
                await asyncio.sleep(0.1)
        yield process, f"http://{bind}"
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(30):
            await process.wait()


async def _ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.TransportError:
        return False


@dataclass
class Caller:
    """Updates one comment, each time after the 202 of the time before, by turns through each gateway."""

    name: str
    comment: str
    gateways: tuple[str, ...]
    accepted: int = 0
    refused: int = 0
    refusals: set[str] = field(default_factory=set)

    async def run(self, client: httpx.AsyncClient, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._update(client, self.gateways[self.accepted % len(self.gateways)])
            self.accepted += 1
            await asyncio.sleep(PACE_SECONDS)  # the pace of a caller, not a wait for anything

    async def _update(self, client: httpx.AsyncClient, gateway: str) -> None:
        headers = AUTHOR | {"Idempotency-Key": f"{self.name}.{self.accepted}"}
        body = {"text": f"{self.name}:{self.accepted}"}
        while True:
            answer = await client.patch(f"{gateway}/comments/{self.comment}", json=body, headers=headers)
            if answer.status_code == 202:
                return
            assert answer.status_code == 503, answer.text
            self.refused += 1
            self.refusals.add(answer.json()["code"])
            await asyncio.sleep(float(answer.headers["retry-after"]))


@asynccontextmanager
async def posting(gateways: tuple[str, ...]) -> AsyncIterator[list[Caller]]:
    """All callers at work, until the block ends; they end with the command they are at."""
    callers = [Caller(f"c{n}-{k}", f"many-{n}", gateways) for n in range(COMMENTS) for k in range(CALLERS)]
    stop = asyncio.Event()
    async with httpx.AsyncClient(timeout=40, trust_env=False, headers={"Prefer": ""}) as client:
        for number in range(COMMENTS):
            body = {"text": "first", "comment_id": f"many-{number}"}
            answer = await client.post(f"{gateways[0]}/pictures/crowd/comments", json=body, headers=AUTHOR | {"Prefer": "wait=20"})
            assert answer.status_code == 201, answer.text
        async with asyncio.TaskGroup() as tasks:
            for caller in callers:
                tasks.create_task(caller.run(client, stop))
            yield callers
            stop.set()


async def all_go_on(callers: list[Caller]) -> None:
    """Until each of them had some more accepted."""
    enough = [caller.accepted + 5 for caller in callers]
    async with asyncio.timeout(30):
        while any(caller.accepted < count for caller, count in zip(callers, enough, strict=True)):  # noqa: ASYNC110 - counts, no event
            await asyncio.sleep(0.05)


def waits(said: str) -> bool:
    """Whether the provision saw something in the queue."""
    return "commands queue: " in said and "commands queue: 0" not in said


async def changed(stack: Live, partitions: int, worker: int | None = None) -> list[str]:
    """`headrace provision --partitions N` to its end; what it said. `worker` stands still until all gateways do."""
    words = ("provision", "--partitions", str(partitions), "--state", str(stack.folder))
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "headrace", *words, stdout=DEVNULL, stderr=PIPE)
    assert process.stderr is not None
    said = []
    async with asyncio.timeout(CHANGE_SECONDS):
        while line := (await process.stderr.readline()).decode():
            said.append(line.rstrip())
            if worker is not None and "gateways take no commands" in line:
                os.kill(worker, signal.SIGSTOP)
            if worker is not None and waits(line):
                os.kill(worker, signal.SIGCONT)
                worker = None
        assert await process.wait() == 0, said
    if worker is not None:  # it was not waited for
        await asyncio.sleep(3)
        os.kill(worker, signal.SIGCONT)
    return said


async def stories(stack: Live) -> list[list[str]]:
    """Of each comment, the texts in the order in which they were decided."""
    found = []
    async with stack.client() as client:
        for number in range(COMMENTS):
            answer = await client.get(f"/comments/many-{number}/history")
            events: list[dict[str, Any]] = answer.json()["events"]
            found.append([event["data"]["text"] for event in events[1:]])
    return found


async def until_decided(stack: Live, accepted: int) -> list[list[str]]:
    """The stories once nothing waits, or as they are after a while."""
    for _ in range(100):
        told = await stories(stack)
        if sum(map(len, told)) >= accepted:
            break
        await asyncio.sleep(0.2)
    return told


async def test_a_running_stack_gets_other_partitions_and_nothing_is_lost_or_out_of_order(stack: Live) -> None:
    async with further_gateway(stack, {}) as (_, second), further_gateway(stack, {"HEADRACE_PARTITIONS": "16"}) as (told, _):
        async with posting((stack.gateway, second)) as callers:
            await all_go_on(callers)
            waited = await changed(stack, 7, stack.pid("commands"))
            async with asyncio.timeout(30):
                assert await told.wait() == 2
            await all_go_on(callers)
            said = await changed(stack, 32)
            assert said[0].endswith("partitions 7 -> 32: gateways take no commands until this has ended")
            await all_go_on(callers)
        assert {code for caller in callers for code in caller.refusals} == {"unavailable"}
    told_at_all = await until_decided(stack, sum(caller.accepted for caller in callers))
    for caller in callers:
        mine = [text for story in told_at_all for text in story if text.startswith(f"{caller.name}:")]
        assert mine == [f"{caller.name}:{number}" for number in range(caller.accepted)]
    assert any(map(waits, waited)), waited
    code, out, err = await headrace("audit", "--json", "--state", str(stack.folder))
    assert code == 0, out + err
    code, out, err = await headrace("status", "--json", "--state", str(stack.folder))
    shown = json.loads(out)
    assert (shown["partitions"], shown["changing_to"]) == (32, None)
    assert {name: depth for name, depth in shown["queues"].items() if name.endswith("-dead")} == {
        "commands-dead": 0,
        "rds-dead": 0,
        "cache-dead": 0,
    }
