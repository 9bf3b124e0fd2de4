"""PostgreSQL from a wheel, as a program on a free loopback port."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import asyncpg

from headrace.errors import StackFailed
from headrace.local.ports import HOST, free_port
from headrace.local.postgres_home import PostgresHome, settle
from headrace.local.process import leashed, stop
from headrace.local.program import Program

DATABASE: Final = "headrace"
_INITDB_SECONDS: Final = 60.0
_SETUP_SECONDS: Final = 30.0


async def prepare(folder: Path, log: Path) -> Program:
    """The server of this folder; a folder used for the first time gets a cluster."""
    home = await asyncio.to_thread(settle, folder)
    log.parent.mkdir(parents=True, exist_ok=True)
    if not (home.data / "PG_VERSION").exists():
        await _initdb(home, log)
    port = free_port()
    options = {
        "listen_addresses": HOST,
        "unix_socket_directories": "",  # a socket's path may have 107 bytes only, and nobody needs one
        "max_connections": "200",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    url = f"postgresql://postgres@{HOST}:{port}/{DATABASE}"
    return Program(
        name="postgres",
        role="postgres",
        argv=(str(home.binaries / "bin" / "postgres"), "-D", str(home.data), "-p", str(port), *arguments),
        url=url,
        probe=url.replace(f"/{DATABASE}", "/postgres"),
        log=log,
        folder=home.data,
        environment=_environment(),
        account=home.account,
        stop_signal=signal.SIGINT,  # fast: SIGTERM would wait until every client has left
        dying_signal=signal.SIGQUIT,  # at once, its workers with it; the log of changes repairs the rest
    )


async def fresh_database(url: str) -> None:
    """Make the database of this URL anew, empty."""
    server, _, name = url.rpartition("/")
    async with asyncio.timeout(_SETUP_SECONDS):
        connection = await asyncpg.connect(f"{server}/postgres")
        try:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()


async def ensure_database(url: str) -> None:
    """Make the database of this URL unless it is there."""
    server, _, name = url.rpartition("/")
    async with asyncio.timeout(_SETUP_SECONDS):
        connection = await asyncpg.connect(f"{server}/postgres")
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()


async def _initdb(home: PostgresHome, log: Path) -> None:
    command = (str(home.binaries / "bin" / "initdb"), "-D", str(home.data), "-U", "postgres", "--auth=trust")
    options = ("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *leashed((*command, *options), signal.SIGKILL, home.account),
            cwd=home.data.parent,
            env=_environment(),
            stdin=DEVNULL,
            stdout=out,
            stderr=STDOUT,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(_INITDB_SECONDS):
            code = await process.wait()
    except TimeoutError as exc:
        raise StackFailed(f"PostgreSQL's initdb took over {_INITDB_SECONDS:g} s; see {log}") from exc
    finally:
        await stop(process, signal.SIGKILL, 1.0)
    if code != 0:
        raise StackFailed(f"PostgreSQL's initdb ended with {code}; see {log}")


def _environment() -> Mapping[str, str]:
    """Nothing of the caller's PG* settings, which would steer the server; a locale that every machine has."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
