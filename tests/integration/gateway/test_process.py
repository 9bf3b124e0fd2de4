"""The gateway as a process on a provisioned stack: it serves, it drains, it says what is wrong with its settings."""

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from events.comments.events import CommentCreated
from events.domain import Registry
from events.ids import stream_parts
from events.memory_store import MemoryStore
from events.parcel import read_commands
from readmodel.database import PROJECTING, open_database
from readmodel.projecting import Projecting
from runtime.aws import open_aws
from runtime.settings import Settings
from runtime.stack import load_stack
from tests.support.sse import Feed, following
from tests.unit.readmodel.commits import comment, commit


def environment(settings: Settings, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "AWS_ENDPOINT_URL": settings.aws_endpoint_url or "",
        "HEADRACE_DATABASE_URL": settings.database_url,
        "HEADRACE_REDIS_URL": settings.redis_url,
        "HEADRACE_STACK": settings.stack,
        "HEADRACE_BIND": "127.0.0.1:0",
        **more,
    }


@asynccontextmanager
async def process(environ: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace", "run", "gateway", env=environ, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def port_of(running: asyncio.subprocess.Process) -> int:
    assert running.stderr is not None
    async with asyncio.timeout(20):
        async for line in running.stderr:
            said = json.loads(line)
            if said.get("action") == "start":
                return int(said["port"])
    raise AssertionError("the gateway ended before it listened")


async def test_a_gateway_serves_and_drains(settings: Settings) -> None:
    async with process(environment(settings)) as running:
        url = f"http://127.0.0.1:{await port_of(running)}"
        async with httpx.AsyncClient(base_url=url) as client:
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["ready"]) == (200, True), ready.text
            answers = await asyncio.gather(*(client.post(f"/pictures/p{n}/comments", json={"text": "x"}) for n in range(50)))
            assert {each.status_code for each in answers} == {202}
            streams = {each.json()["stream"] for each in answers}
            status = await client.get(answers[0].json()["status_url"])
            assert status.json()["status"] == "pending"
            waiting = asyncio.create_task(
                client.post("/pictures/p/comments", json={"text": "x"}, headers={"prefer": "wait=30"}, timeout=40)
            )
            await asyncio.sleep(0.3)
            running.send_signal(signal.SIGTERM)
            assert (await waiting).status_code == 202
        async with asyncio.timeout(25):
            assert await running.wait() == 0
    taken = await received(settings)
    assert streams <= taken


async def test_feeds_end_with_it_at_once(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    async with process(environment(settings)) as running, AsyncExitStack() as callers:
        url = f"http://127.0.0.1:{await port_of(running)}"
        feeds = [await callers.enter_async_context(following(url)) for _ in range(20)]
        assert {feed.status for feed in feeds} == {200}
        began = loop.time()
        running.send_signal(signal.SIGTERM)
        for feed in feeds:
            with pytest.raises(EOFError):
                await feed.next()
        async with asyncio.timeout(10):
            assert await running.wait() == 0
        assert loop.time() - began < 5


@pytest.mark.slow
async def test_who_does_not_read_the_feed_costs_no_memory(settings: Settings, registry: Registry) -> None:
    """Twenty of them, and more than fifty megabytes for each."""
    async with process(environment(settings)) as running, AsyncExitStack() as callers:
        url = f"http://127.0.0.1:{await port_of(running)}"
        for _ in range(20):
            await callers.enter_async_context(following(url, limit=2**10))
        reading = await callers.enter_async_context(following(url, limit=2**19))
        database = await callers.enter_async_context(open_database(settings, PROJECTING))
        projecting = Projecting(database, registry, MemoryStore())
        await _project(projecting, reading, 10)
        before = memory_of(running.pid)
        for _ in range(6):
            await _project(projecting, reading, 40)
        assert memory_of(running.pid) - before < 30 * 1024 * 1024


async def _project(projecting: Projecting, reading: Feed, many: int) -> None:
    commits = [commit(comment(secrets.token_hex(8)), 1, 0, CommentCreated("p", "ann", "x" * 240_000)) for _ in range(many)]
    await projecting.project(commits)
    await reading.take(many)


def memory_of(pid: int) -> int:
    """Resident, in bytes."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


async def received(settings: Settings) -> set[str]:
    """The streams of every command in the queue."""
    streams: set[str] = set()
    async with open_aws(settings) as aws:
        sqs, stack = await aws.sqs(), await load_stack(await aws.dynamodb(), settings)
        url = stack.queues["commands"]
        while messages := (await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)).get("Messages"):
            for message in messages:
                streams |= {each.stream for each in read_commands(message["Body"]).commands}
                await sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert all(stream_parts(each) for each in streams)
    return streams


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"HEADRACE_DATABASE_URL": "", "HEADRACE_REDIS_URL": ""}, ["HEADRACE_DATABASE_URL", "HEADRACE_REDIS_URL"]),
        ({"HEADRACE_STACK": "nobodys"}, ["HEADRACE_STACK"]),
        ({"HEADRACE_PARTITIONS": "3"}, ["HEADRACE_PARTITIONS"]),
        ({"HEADRACE_BIND": "192.0.2.1:80", "HEADRACE_TRUSTED_NETWORK": "1"}, ["HEADRACE_BIND"]),
    ],
)
async def test_wrong_settings_end_it_with_one_line(settings: Settings, more: dict[str, str], words: list[str]) -> None:
    async with process(environment(settings, **more)) as running:
        _, said = await running.communicate()
    lines = said.decode().splitlines()
    assert running.returncode == 2, said
    assert len(lines) == 1
    assert all(word in lines[0] for word in words)
