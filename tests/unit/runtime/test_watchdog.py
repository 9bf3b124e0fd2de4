"""A process whose event loop stands still ends; one that was merely stopped goes on."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process

from runtime.watchdog import ENDED

PROGRAM = """
import asyncio, sys, time
from runtime.watchdog import watched

async def main():
    async with watched(seconds=0.05, looks=6):
        print("up", flush=True)
        if sys.argv[1] == "hang":
            time.sleep(60)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


async def started(how: str) -> Process:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, how, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"up\n"
    return process


async def test_a_loop_that_stands_still_ends_the_process_and_shows_where() -> None:
    process = await started("hang")
    async with asyncio.timeout(20):
        _, said = await process.communicate()
    assert process.returncode == ENDED
    assert b"stands still" in said
    assert b"in main" in said


async def test_a_process_that_was_stopped_for_long_goes_on() -> None:
    process = await started("wait")
    os.kill(process.pid, signal.SIGSTOP)
    await asyncio.sleep(1.0)  # the stop itself
    os.kill(process.pid, signal.SIGCONT)
    async with asyncio.timeout(20):
        await process.communicate(b"\n")
    assert process.returncode == 0
