"""`headrace load` beside what a drill does to the stack."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.acceptance.stack import Live

CHECKS_SECONDS = 240.0
"""For the drain, the look at every command, and the audit."""
MIX = "create=50,update=38,delete=12"


class Loading:
    """A load that is posting."""

    def __init__(self, process: Process, said: "asyncio.Task[str]", out: "asyncio.Task[bytes]") -> None:
        self._process, self._said, self._out = process, said, out

    async def report(self) -> dict[str, Any]:
        """Its own at its end, without a fault but for a generator that was late: others may be using the machine."""
        async with asyncio.timeout(CHECKS_SECONDS):
            out, said = await self._out, await self._said
            code = await self._process.wait()
        report: dict[str, Any] = json.loads(out)
        faults = [each for each in report["faults"] if not each.startswith("void")]
        assert faults == [], said[-2000:]
        assert code == (1 if report["faults"] else 0)
        assert report["audit"]["ok"]
        assert report["accepted"] == report["applied"] + report["rejected"] == report["projected"] + report["rejected"] > 0
        return report


@asynccontextmanager
async def load_beside(live: Live, rate: float, seconds: float) -> AsyncIterator[Loading]:
    """From the first post on."""
    words = (
        "--state",
        str(live.folder),
        "--rate",
        f"{rate:g}",
        "--duration",
        f"{seconds:g}",
        "--mix",
        MIX,
        "--settle",
        "60",
        "--json",
        "-",
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "headrace", "load", *words, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    out = asyncio.create_task(process.stdout.read())
    try:
        async with asyncio.timeout(60):
            while b"commands/s for" not in (line := await process.stderr.readline()):
                assert line, "the load ended before it posted"
        yield Loading(process, asyncio.create_task(_rest(process)), out)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await out


async def _rest(process: Process) -> str:
    assert process.stderr is not None
    return (await process.stderr.read()).decode(errors="replace")
