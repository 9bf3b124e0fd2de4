"""Headrace's write side alone: gateway and command worker, the read side stopped. What counts as visible is the durable append."""

import asyncio
import signal
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import redis.asyncio
from redis.exceptions import RedisError

from events.outcome import NOTICES, Status, outcomes_channel
from headrace.errors import StackFailed
from headrace.local import postgres_server
from headrace.local.ports import free_port
from headrace.local.process import start, stop
from headrace.local.provisioning import provision
from headrace.local.roles import RoleSpec, our_command, role_program
from loadtest.bench.batches import BatchCaller
from loadtest.bench.caller import Caller
from loadtest.bench.grounds import Grounds
from loadtest.bench.job import Job
from loadtest.bench.ours import Headrace
from loadtest.bench.subject import Done
from loadtest.bench.visible import STALLED_SECONDS

SINGLE: Final = "headrace write"
BATCHED: Final = "headrace write batch"
_ROLES: Final = ("gateway", "commands")
_STOP_SECONDS: Final = 25.0


class WriteSide:
    """Two roles on a stack of their own; `route` posts to the gateway at that URL."""

    guarantees: Mapping[str, str] = {**Headrace.guarantees, "read model apart": "stopped"}

    def __init__(self, name: str, grounds: Grounds, route: Callable[[str], Caller | BatchCaller], in_flight: int) -> None:
        self.name, self.in_flight = name, in_flight
        self._grounds, self._route = grounds, route
        self._stack = name.replace(" ", "-")

    @asynccontextmanager
    async def up(self) -> AsyncIterator["LiveWriteSide"]:
        """The two roles until the end of the block, then drained, the gateway first."""
        database = self._grounds.database(self._stack.replace("-", "_"))
        await postgres_server.ensure_database(database)
        told = {
            **self._grounds.environment(),
            "HEADRACE_DATABASE_URL": database,
            "HEADRACE_REDIS_URL": self._grounds.redis,
            "HEADRACE_STACK": self._stack,
        }
        log = self._grounds.folder / f"{self._stack}.log"
        await provision(our_command("provision"), told, log)
        async with AsyncExitStack() as running:
            processes: dict[str, Process] = {}
            urls: dict[str, str] = {}
            for name in reversed(_ROLES):
                program = role_program(RoleSpec(name, our_command("run", name)), free_port(), told, log)
                processes[name], urls[name] = await start(program), program.url
                running.push_async_callback(stop, processes[name], signal.SIGTERM, _STOP_SECONDS)
            appended = await running.enter_async_context(_appended(self._grounds.redis, self._stack))
            yield LiveWriteSide(processes, self._route(urls["gateway"]), appended)


class Appended:
    """When each command was told to be applied, by id: the worker tells after the append is durable."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.listening = asyncio.Event()
        self.news = asyncio.Event()

    async def listen(self, redis_url: str, stack: str) -> None:
        """For ever."""
        async with redis.asyncio.from_url(redis_url) as client, client.pubsub() as subscription:
            await subscription.subscribe(outcomes_channel(stack))
            async for message in subscription.listen():
                if message["type"] == "message":
                    now = time.time()
                    for notice in NOTICES.decode(message["data"]):
                        if notice.outcome.status is Status.APPLIED:
                            self.at.setdefault(notice.command_id, now)
                    self.news.set()
                else:
                    self.listening.set()

    async def until_all(self, names: Mapping[str, float]) -> dict[str, float]:
        """Of these. Raises StackFailed when one is not told of for long."""
        while True:
            self.news.clear()
            if names.keys() <= self.at.keys():
                return {name: self.at[name] for name in names}
            try:
                async with asyncio.timeout(STALLED_SECONDS):
                    await self.news.wait()
            except TimeoutError as exc:
                missing = len(names.keys() - self.at.keys())
                raise StackFailed(f"{missing} of {len(names)} commands are not applied, and no more for {STALLED_SECONDS:g} s") from exc


@asynccontextmanager
async def _appended(redis_url: str, stack: str) -> AsyncIterator[Appended]:
    found = Appended()
    listening = asyncio.create_task(found.listen(redis_url, stack))
    try:
        async with asyncio.timeout(STALLED_SECONDS):
            await found.listening.wait()
        yield found
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError, RedisError):
            await listening


class LiveWriteSide:
    """A write side that is up."""

    def __init__(self, processes: Mapping[str, Process], caller: Caller | BatchCaller, appended: Appended) -> None:
        self._processes, self._caller, self._appended = processes, caller, appended

    def pids(self) -> dict[str, list[int]]:
        """The two roles."""
        return {name: [process.pid] for name, process in self._processes.items()}

    async def meters(self) -> None:
        """It has none."""

    async def work(self, job: Job) -> Done:
        """Post all of it, wait until all of it is appended."""
        submitted = await self._caller.post(job)
        return Done(submitted, await self._appended.until_all(submitted))
