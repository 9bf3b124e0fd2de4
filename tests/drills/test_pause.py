"""A command worker that stands still for longer than its messages stay invisible, and a second one that takes them over meanwhile."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headrace.local import state
from headrace.local.ports import free_port
from tests.acceptance.stack import Live

PAUSE_SECONDS = 9.0  # more than twice the visibility of these drills
PAUSES = 4
LAPSED = (b"visibility lapsed", b"messages lost", b"messages not deleted")


@pytest.fixture
async def second(stack: Live) -> AsyncIterator[Process]:
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


def lapsed(log: Path) -> bool:
    """The worker woke with messages in hand that were no longer its own, and left them alone."""
    said = log.read_bytes()
    return any(word in said for word in LAPSED)


async def test_a_worker_that_wakes_too_late_deletes_nothing_and_harms_nothing(stack: Live, second: Process) -> None:
    words = (
        "load",
        "--state",
        str(stack.folder),
        "--rate",
        "250",
        "--duration",
        "70",
        "--mix",
        "create=50,update=40,delete=10",
        "--json",
        "-",
    )
    load = await asyncio.create_subprocess_exec(sys.executable, "-m", "headrace", *words, stdout=PIPE, stderr=PIPE)
    assert load.stderr is not None
    log = stack.folder / "logs" / "commands.log"
    async with asyncio.timeout(200):
        async for line in load.stderr:
            if b"commands/s for" in line:
                break
        for _ in range(PAUSES):
            worker = stack.pid("commands")
            os.kill(worker, signal.SIGSTOP)
            await asyncio.sleep(PAUSE_SECONDS)  # the fault itself
            os.kill(worker, signal.SIGCONT)
            await asyncio.sleep(1)  # it wakes and goes on
            if lapsed(log):
                break
        out, err = await load.communicate()
    report = json.loads(out)
    assert (load.returncode, report["faults"]) == (0, []), err.decode()[-2000:]
    assert report["audit"]["ok"]
    assert lapsed(log), "the worker never had anything in hand when it was stopped"
    assert second.returncode is None
