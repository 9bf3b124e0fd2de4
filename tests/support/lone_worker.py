"""One `headrace run commands` as a process of its own, on a stack of which nothing else runs."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace.local.ports import free_port
from runtime.settings import Settings

SECONDS = 30


@asynccontextmanager
async def command_worker(settings: Settings, aws_url: str) -> AsyncIterator[Process]:
    """AWS is at that URL. If it is alive in the end it is told to stop, and must do so well."""
    told = {
        **os.environ,
        "AWS_ENDPOINT_URL": aws_url,
        "HEADRACE_REDIS_URL": settings.redis_url,
        "HEADRACE_STACK": settings.stack,
        "HEADRACE_STATE": settings.state,
        "HEADRACE_VISIBILITY_SECONDS": str(settings.visibility_seconds),
        "HEADRACE_BIND": f"127.0.0.1:{free_port()}",
    }
    words = (sys.executable, "-m", "headrace", "run", "commands")
    process = await asyncio.create_subprocess_exec(*words, env=told, stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(SECONDS):
                assert await process.wait() == 0
