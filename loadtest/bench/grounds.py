"""The servers that all subjects share: AWS's emulator behind the counting proxy, PostgreSQL that notes commit times, Redis."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg

from headrace.local import backends, postgres_home, postgres_server, redis_server
from headrace.local.backends import Choice
from headrace.local.environment import REGION
from headrace.local.ports import HOST, free_port
from headrace.local.process import start, stop
from headrace.local.program import Program

_STOP_SECONDS: Final = 15.0
_ASK_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Grounds:
    """Where everything is. `aws` is the proxy: what subjects are told; `direct` goes past it."""

    aws: str
    direct: str
    control: int
    postgres: str
    redis: str
    folder: Path
    pids: Mapping[str, int]
    """Of the servers that are ours, by name."""

    def database(self, name: str) -> str:
        """The URL of a database of that name on the one server."""
        return f"{self.postgres.rpartition('/')[0]}/{name}"

    def environment(self) -> dict[str, str]:
        """What any subject's process is told: the caller's environment, but for all that is AWS's, PostgreSQL's or ours."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HEADRACE_", "PG", "PYTHON"))}
        aws = {"AWS_ENDPOINT_URL": self.aws, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
        return {**kept, **aws, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "PYTHONUNBUFFERED": "1"}

    async def calls(self) -> dict[str, int]:
        """Requests that passed the proxy so far, by call."""
        async with asyncio.timeout(_ASK_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, self.control)
            try:
                found: dict[str, int] = json.loads(await reader.readline())
            finally:
                writer.close()
        return found


@asynccontextmanager
async def grounds(folder: Path, choice: Choice) -> AsyncIterator[Grounds]:
    """All of them, new and empty, until the end of the block."""
    await asyncio.to_thread(_empty, folder)
    async with AsyncExitStack() as servers:
        pids: dict[str, int] = {}
        direct = choice.name
        if choice.kind != "url":
            emulator = await backends.prepare(choice.kind, folder, folder / "aws.log", _say)
            pids["aws"] = await servers.enter_async_context(_running(emulator))
            direct = emulator.url
        redis = redis_server.prepare(folder / "redis", folder / "redis.log")
        pids["redis"] = await servers.enter_async_context(_running(redis))
        servers.push_async_callback(asyncio.to_thread, postgres_home.remove_outside, folder / "postgres")
        database = await _postgres_with_commit_times(folder / "postgres")
        pids["postgres"] = await servers.enter_async_context(_running(database))
        await postgres_server.fresh_database(database.url)
        proxy, control = _proxy(direct, folder)
        await servers.enter_async_context(_running(proxy))
        yield Grounds(proxy.url, direct, control, database.url, redis.url, folder, pids)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


async def _postgres_with_commit_times(folder: Path) -> Program:
    """The server notes when each transaction committed, so that nobody need be asked and nothing need be polled. It learns that
    setting with its next start only, and is started twice."""
    program = await postgres_server.prepare(folder, folder / "postgres.log")
    async with _running(program):
        connection = await asyncpg.connect(program.probe)
        try:
            await connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        finally:
            await connection.close()
    return program


def _proxy(target: str, folder: Path) -> tuple[Program, int]:
    parts = urlsplit(target)
    listen, control = free_port(), free_port()
    there = (str(listen), str(control), parts.hostname or HOST, str(parts.port or 80))
    program = Program(
        name="proxy",
        role="proxy",
        argv=(sys.executable, "-m", "loadtest.bench.proxy", *there),
        url=f"http://{HOST}:{listen}",
        probe=f"tcp://{HOST}:{control}",
        log=folder / "proxy.log",
        folder=Path.cwd(),
        environment=dict(os.environ),
        stop_signal=signal.SIGKILL,  # it has nothing to save
    )
    return program, control


@asynccontextmanager
async def _running(program: Program) -> AsyncIterator[int]:
    process = await start(program)
    try:
        yield process.pid
    finally:
        await stop(process, program.stop_signal, _STOP_SECONDS)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
