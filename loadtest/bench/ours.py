"""Headrace as a subject: the stack as `headrace up` brings it up, on the shared servers, loaded over HTTP."""

import asyncio
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import asyncpg
import msgspec

from headrace.errors import StackFailed
from headrace.local.process import leashed, stop
from headrace.local.roles import ROLES, our_command
from headrace.metering import Reading, read_meters
from headrace.status import Status
from loadtest.bench.caller import Caller
from loadtest.bench.grounds import Grounds
from loadtest.bench.job import Job
from loadtest.bench.subject import Done
from loadtest.bench.visible import Rows

NAME: Final = "headrace"
METERS_SECONDS: Final = 10.0
UP_SECONDS: Final = 180.0
STOP_SECONDS: Final = 60.0


class Headrace:
    """The five roles; the client that posts is outside of them, as callers are."""

    name = NAME
    in_flight = 512
    guarantees: Mapping[str, str] = {
        "durable before ack": "yes: SQS has it",
        "one effect per command": "yes, by id",
        "order per entity": "yes",
        "history and replay": "yes, per stream",
        "read model apart": "yes, checked",
        "read your write": "by token",
    }

    def __init__(self, grounds: Grounds) -> None:
        self._grounds = grounds

    @asynccontextmanager
    async def up(self) -> AsyncIterator["LiveHeadrace"]:
        """The stack until the end of the block, then drained."""
        log = self._grounds.folder / "headrace.log"
        told = {"HEADRACE_DATABASE_URL": self._grounds.postgres, "HEADRACE_REDIS_URL": self._grounds.redis}
        state = self._grounds.folder / "headrace"
        words = our_command("up", "--json", "--port", "0", "--aws", self._grounds.aws, "--state", str(state))
        with log.open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                *leashed(words, signal.SIGTERM, None),  # told to drain should we be killed
                env={**self._grounds.environment(), **told},
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=out,
                start_new_session=True,
            )
        try:
            status = await _ready(process, f"{log}")
            connection = await asyncpg.connect(self._grounds.postgres)
            try:
                yield LiveHeadrace(status, Caller(status.gateway), connection)
            finally:
                await connection.close()
        finally:
            await stop(process, signal.SIGTERM, STOP_SECONDS)


async def _ready(process: Process, log: str) -> Status:
    if process.stdout is None:
        raise StackFailed("headrace up has no output")
    try:
        async with asyncio.timeout(UP_SECONDS):
            line = await process.stdout.readline()
    except TimeoutError as exc:
        raise StackFailed(f"headrace up was not ready in {UP_SECONDS:g} s; see {log}") from exc
    if not line:
        raise StackFailed(f"headrace up ended before it was ready; see {log}")
    return msgspec.json.decode(line, type=Status)


class LiveHeadrace:
    """A stack that is up."""

    def __init__(self, status: Status, caller: Caller, connection: "asyncpg.Connection") -> None:
        self._status, self._caller, self._connection = status, caller, connection

    def pids(self) -> dict[str, list[int]]:
        """The roles."""
        return {part.role: [part.pid] for part in self._status.parts if part.role in ROLES and part.pid is not None}

    async def meters(self) -> Reading:
        """All roles'."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=METERS_SECONDS)) as http:
            return await read_meters(http, self._status.parts)

    async def work(self, job: Job) -> Done:
        """Post all of it, wait for the rows."""
        submitted = await self._caller.post(job)
        visible, _ = await Rows(self._connection, await self._table()).until_all(job)
        return Done(submitted, visible)

    async def _table(self) -> str:
        """The comments of the only generation there is in a database of our own."""
        found: str = await self._connection.fetchval(
            "SELECT format('%I.comments', table_schema) FROM information_schema.tables"
            " WHERE table_name = 'comments' AND table_schema LIKE 'rds%' ORDER BY table_schema DESC LIMIT 1"
        )
        return found
