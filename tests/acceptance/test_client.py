"""The example of docs/client.md as a process of its own, with the gateway killed under it."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from gateway.client import Client
from tests.acceptance.stack import Live

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "captions.py"
COUNT = 3000


async def test_every_caption_becomes_one_comment_though_the_gateway_is_killed(live: Live) -> None:
    work = b"".join(
        json.dumps({"id": f"caption-{number}", "picture": f"captioned-{number % 3}", "text": f"caption {number}"}).encode() + b"\n"
        for number in range(COUNT)
    )
    service = await asyncio.create_subprocess_exec(sys.executable, str(EXAMPLE), live.gateway, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert service.stdin is not None
    assert service.stdout is not None
    said: list[bytes] = []
    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(_feed(service.stdin, work))
        while line := await service.stdout.readline():
            said.append(line)
            if len(said) == COUNT // 4:
                os.kill(live.pid("gateway"), signal.SIGKILL)
        await feeding
    assert await service.wait() == 0, (await service.stderr.read()).decode() if service.stderr else ""
    assert said[:-1] == [b"accepted caption-%d\n" % number for number in range(COUNT)]
    assert said[-1] == b"last caption %d\n" % (COUNT - 1)
    async with Client(live.gateway) as client:
        receipt = await client.create_comment("captioned-0", "the end", wait=30)
        texts = [
            comment.text for number in range(3) async for comment in client.comments(f"captioned-{number}", after=[str(receipt.token)])
        ]
        for _ in range(100):  # other streams may be a little behind the last one
            if len(texts) > COUNT:
                break
            await asyncio.sleep(0.1)
            texts = [comment.text for number in range(3) async for comment in client.comments(f"captioned-{number}")]
    assert sorted(texts) == sorted([f"caption {number}" for number in range(COUNT)] + ["the end"])


async def _feed(stdin: asyncio.StreamWriter, work: bytes) -> None:
    stdin.write(work)
    await stdin.drain()
    stdin.close()
