"""Each hop's calls alone, as fast as they can be had here: no routing, no rules, no waiting for one another."""

import asyncio
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from headrace.errors import StackFailed
from headrace.local import postgres_server
from headrace.local.ports import HOST, free_port
from headrace.local.process import leashed, start, stop
from headrace.local.program import Program
from loadtest.bench.caller import Caller
from loadtest.bench.cpu import cpu_seconds
from loadtest.bench.grounds import Grounds
from loadtest.bench.job import Job

ITEMS: Final = 4000
"""At most."""
SECONDS: Final = 120.0
CONNECTIONS: Final = 64
PASSES: Final = 3
"""Of each: the first makes a process grow, which costs many times the work, and any one of them may be beside something else's."""


class Ceiling(Struct, frozen=True):
    """`does` says what it is; per second and microseconds of the client's CPU an item (of the server's own, for the decode)."""

    does: str
    per_s: float
    cpu_us: float


def cheapest(passes: Sequence[Ceiling]) -> Ceiling:
    """What the calls cost at the least: the most a second and the least CPU that any pass saw."""
    return Ceiling(passes[0].does, max(each.per_s for each in passes), min(each.cpu_us for each in passes))


async def measure_ceilings(grounds: Grounds, items: int) -> dict[str, Ceiling]:
    """By name. Raises StackFailed."""
    return {"decode": await _decode(grounds, items), **await _alone(grounds, items)}


async def _decode(grounds: Grounds, items: int) -> Ceiling:
    port = free_port()
    url = f"http://{HOST}:{port}"
    program = Program(
        name="bare",
        role="bare",
        argv=(sys.executable, "-m", "loadtest.bench.bare", str(port)),
        url=url,
        probe=f"tcp://{HOST}:{port}",
        log=grounds.folder / "bare.log",
        folder=Path.cwd(),
        environment=grounds.environment(),
    )
    process = await start(program)
    try:
        caller = Caller(url)
        await caller.post(Job("warm", 200, CONNECTIONS))
        passes = []
        for _ in range(PASSES):
            before, began = cpu_seconds([process.pid]), time.monotonic()
            await caller.post(Job("bare", items, CONNECTIONS))
            took, spent = time.monotonic() - began, cpu_seconds([process.pid]) - before
            passes.append(Ceiling("ASGI server, body decoded, 202", items / took, spent / items * 1e6))
    finally:
        await stop(process, signal.SIGTERM, 5.0)
    return cheapest(passes)


async def _alone(grounds: Grounds, items: int) -> dict[str, Ceiling]:
    """All that has a client, in a process whose CPU is nothing but that client's."""
    database = grounds.database("ceilings")
    await postgres_server.ensure_database(database)
    told = {"HEADRACE_DATABASE_URL": database, "HEADRACE_REDIS_URL": grounds.redis, "AWS_ENDPOINT_URL": grounds.direct}
    log = grounds.folder / "ceilings.log"
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *leashed((sys.executable, "-m", "loadtest.bench.alone", str(items)), signal.SIGKILL, None),
            env={**grounds.environment(), **told, "HEADRACE_STACK": "ceilings"},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=errors,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(SECONDS):
                said, _ = await process.communicate()
        except TimeoutError as exc:
            raise StackFailed(f"the ceilings were not measured in {SECONDS:g} s; see {log}") from exc
        finally:
            await stop(process, signal.SIGKILL, 1.0)
    if process.returncode:
        raise StackFailed(f"the ceilings ended with {process.returncode}; see {log}")
    return msgspec.json.decode(said.splitlines()[-1], type=dict[str, Ceiling])
