"""A command worker that stands still for longer than its messages stay invisible, and a second one that takes them over meanwhile."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from headrace.local import state
from headrace.local.environment import merged
from headrace.local.ports import free_port
from runtime.aws import open_aws
from runtime.settings import load
from runtime.stack import load_stack
from tests.acceptance.stack import Live

PAUSE_SECONDS = 5.5  # more than the visibility of these drills, whenever it was last extended
TRIES = 200
LAPSED = (b"visibility lapsed", b"messages lost", b"messages not deleted")


@asynccontextmanager
async def second_worker(stack: Live) -> AsyncIterator[Process]:
    """Another `headrace run commands` on the same stack."""
    told = {**os.environ, **state.environment(stack.folder), "HEADRACE_BIND": f"127.0.0.1:{free_port()}"}
    words = (sys.executable, "-m", "headrace", "run", "commands")
    process = await asyncio.create_subprocess_exec(*words, env=told | {"HEADRACE_VISIBILITY_SECONDS": "4"}, stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        async with asyncio.timeout(30):
            assert await process.wait() == 0


async def in_flight(stack: Live) -> int:
    """Messages that some worker holds."""
    settings = load(merged(dict(os.environ), state.environment(stack.folder)))
    async with open_aws(settings) as aws:
        queue = (await load_stack(await aws.dynamodb(), settings)).queues["commands"]
        name: Literal["ApproximateNumberOfMessagesNotVisible"] = "ApproximateNumberOfMessagesNotVisible"
        answer = await (await aws.sqs()).get_queue_attributes(QueueUrl=queue, AttributeNames=[name])
        return int(answer["Attributes"][name])


async def stopped_with_work_in_hand(stack: Live) -> int:
    """The only worker's pid, stopped while it holds messages."""
    worker = stack.pid("commands")
    for _ in range(TRIES):
        os.kill(worker, signal.SIGSTOP)
        if await in_flight(stack):
            return worker
        os.kill(worker, signal.SIGCONT)
    raise AssertionError("the worker never had anything in hand")


def lapsed(log: Path, before: int) -> bool:
    """The worker woke with messages in hand that were no longer its own, and left them alone; it said so after so many bytes."""
    said = log.read_bytes()[before:]
    return any(word in said for word in LAPSED)


async def test_a_worker_that_wakes_too_late_deletes_nothing_and_harms_nothing(stack: Live) -> None:
    words = (
        "load",
        "--state",
        str(stack.folder),
        "--rate",
        "200",
        "--duration",
        "14",
        "--mix",
        "create=50,update=40,delete=10",
        "--json",
        "-",
    )
    log = stack.folder / "logs" / "commands.log"
    before = log.stat().st_size
    running = await asyncio.create_subprocess_exec(sys.executable, "-m", "headrace", *words, stdout=PIPE, stderr=PIPE)
    assert running.stderr is not None
    async with asyncio.timeout(200):
        async for line in running.stderr:
            if b"commands/s for" in line:
                break
        worker = await stopped_with_work_in_hand(stack)
        async with second_worker(stack) as second:
            await asyncio.sleep(PAUSE_SECONDS)  # the fault itself
            os.kill(worker, signal.SIGCONT)
            out, err = await running.communicate()
            assert second.returncode is None
    report = json.loads(out)
    assert (running.returncode, report["faults"]) == (0, []), err.decode()[-2000:]
    assert report["audit"]["ok"]
    assert lapsed(log, before), "it never noticed that what it had in hand was no longer its own"
