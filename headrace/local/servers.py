"""The servers of the local stack as context managers: for tests, and for anything that needs one of them for a while.

Each takes a folder of its own (created; kept afterwards), starts a server on a free loopback port, yields its address
once it answers, and ends it with the block. Nothing is shared: any number may run side by side.

    async with postgres(tmp / "pg") as database_url, redis(tmp / "redis") as redis_url, aws(tmp / "aws") as endpoint:
        ...
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from headrace.local import backends, postgres_home, postgres_server, rabbit_server, redis_server
from headrace.local.process import start, stop
from headrace.local.program import Program

_STOP_SECONDS: Final = 15.0


@asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[str]:
    """PostgreSQL; yields the URL of its empty database `headrace`, whose superuser `postgres` needs no password."""
    program = await postgres_server.prepare(folder, folder / "postgres.log")
    try:
        async with running(program) as url:
            await postgres_server.fresh_database(url)
            yield url
    finally:
        await asyncio.to_thread(postgres_home.remove_outside, folder)


@asynccontextmanager
async def redis(folder: Path) -> AsyncIterator[str]:
    """Redis (Valkey), empty, nothing persisted; yields the URL of its database 0."""
    async with running(redis_server.prepare(folder, folder / "redis.log")) as url:
        yield url


@asynccontextmanager
async def aws(folder: Path, backend: str = "ministack") -> AsyncIterator[str]:
    """An AWS emulator (`ministack`, `localstack`), installed on first use; yields its endpoint URL."""
    async with running(await backends.prepare(backend, folder, folder / f"{backend}.log")) as url:
        yield url


@asynccontextmanager
async def rabbitmq(folder: Path) -> AsyncIterator[str]:
    """RabbitMQ, where it is installed; yields the URL of its vhost `/`. Raises WrongUse where it is not."""
    program = rabbit_server.prepare(folder, folder / "rabbitmq.log")
    try:
        async with running(program) as url:
            yield url
    finally:
        await rabbit_server.remove(program)


@asynccontextmanager
async def running(program: Program) -> AsyncIterator[str]:
    """Any program, from ready to the end of the block; yields its address. Raises StackFailed if it does not start."""
    process = await start(program)
    try:
        yield program.url
    finally:
        await stop(process, program.stop_signal, _STOP_SECONDS)
