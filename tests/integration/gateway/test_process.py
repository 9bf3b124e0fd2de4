"""The gateway as a process on a provisioned stack: it serves, it drains, it says what is wrong with its settings."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from events.ids import stream_parts
from events.parcel import read_commands
from runtime.aws import open_aws
from runtime.settings import Settings
from runtime.stack import load_stack


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
