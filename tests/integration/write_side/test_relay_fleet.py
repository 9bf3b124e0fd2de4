"""Two relays in processes of their own: what one leaves the other takes up, at once after a SIGTERM, within a lease after a kill -9."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from secrets import token_hex
from time import monotonic
from typing import Any

import httpx
import pytest

from headrace.local.ports import free_port
from runtime.aws import open_aws
from runtime.stack import table_name
from tests.integration.write_side.conftest import LIMIT, Running, WriteSide
from tests.integration.write_side.test_relay import append, arrived
from workers.shards import FREE
from workers.walks import Walks


@asynccontextmanager
async def relay(write_side: WriteSide, lease_seconds: float) -> AsyncIterator[Process]:
    """Up and ready."""
    given, bind = write_side.settings, f"127.0.0.1:{free_port()}"
    told = {
        "AWS_ENDPOINT_URL": given.aws_endpoint_url or "",
        "HEADRACE_DATABASE_URL": given.database_url,
        "HEADRACE_REDIS_URL": given.redis_url,
        "HEADRACE_STACK": given.stack,
        "HEADRACE_BIND": bind,
        "HEADRACE_LEASE_SECONDS": f"{lease_seconds:g}",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace", "run", "relay", env={**os.environ, **told}, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        await ready(f"http://{bind}/readyz")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ready(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            with suppress(httpx.TransportError):
                if (await client.get(url)).is_success:
                    return
            await asyncio.sleep(0.1)


async def owner(dynamodb: Any, table: str) -> int:
    """Pid of the process that holds the stream's one shard; 0 nobody."""
    answer = await dynamodb.scan(TableName=table, ConsistentRead=True)
    leases = [row for row in answer["Items"] if row["id"]["S"].startswith("lease#") and not row["id"]["S"].startswith("lease#test")]
    (name,) = {row["lease_owner"]["S"] for row in leases if not row["shard_ended"]["BOOL"]}
    return 0 if name == FREE else int(name.split("-")[-2])


TERM = pytest.param(signal.SIGTERM, 60.0, 30.0, id="TERM")
KILL = pytest.param(signal.SIGKILL, 2.0, 20.0, id="KILL", marks=pytest.mark.slow)


@pytest.mark.parametrize(("number", "lease", "within"), [TERM, KILL])
async def test_what_one_relay_leaves_the_other_takes_up(write_side: WriteSide, number: int, lease: float, within: float) -> None:
    table = table_name(write_side.settings, "control")
    async with asyncio.timeout(5 * LIMIT), open_aws(write_side.settings) as aws, relay(write_side, lease) as one:
        messages = write_side.messages("rds")
        await arrived(messages, await append(write_side, token_hex(8)))
        dynamodb = await aws.dynamodb()
        assert await owner(dynamodb, table) == one.pid
        async with relay(write_side, lease) as other:
            one.send_signal(number)
            began, sent = monotonic(), await append(write_side, token_hex(8))
            await arrived(messages, sent)
            assert monotonic() - began < within
            assert await owner(dynamodb, table) == other.pid
            assert await one.wait() == (0 if number == signal.SIGTERM else -signal.SIGKILL)
            other.terminate()
            assert await other.wait() == 0


@pytest.mark.slow
async def test_a_stream_that_is_switched_off_and_on_is_followed_and_a_walk_is_asked_for(write_side: WriteSide, running: Running) -> None:
    table = table_name(write_side.settings, "events")
    async with asyncio.timeout(2 * LIMIT), open_aws(write_side.settings) as aws, running("relay"):
        dynamodb, messages = await aws.dynamodb(), write_side.messages("rds")
        walks = Walks(dynamodb, table_name(write_side.settings, "control"))
        before = await append(write_side, token_hex(8))
        await arrived(messages, before)
        if (walk := await walks.wanted()) is not None:
            assert await walks.done(walk)
        old = await append(write_side, token_hex(8))
        await dynamodb.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
        await append(write_side, token_hex(8))  # nobody hears of this one but by the walk
        await dynamodb.update_table(TableName=table, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
        new = await append(write_side, token_hex(8))
        await arrived(messages, old | new)
        walk = await walks.wanted()
        assert walk is not None
        assert "first time" in walk.why
        await walks.want("again")
        assert not await walks.done(walk)  # asked again meanwhile: it stands
