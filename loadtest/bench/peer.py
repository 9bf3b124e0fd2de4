"""A peer as a subject: programs of their own (`loadtest/peers`), which import nothing of ours and are told everything by environment."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

import asyncpg

from headrace.errors import StackFailed
from headrace.local import postgres_server
from headrace.local.process import leashed, stop
from loadtest.bench.acknowledged import Acknowledged
from loadtest.bench.grounds import Grounds
from loadtest.bench.job import Job, comment_id, picture_id
from loadtest.bench.subject import Done
from loadtest.bench.visible import Rows

STOP_SECONDS: Final = 3.0
"""A worker that waits for the end of its long poll is not waited for: what it had is acknowledged."""
SETUP_SECONDS: Final = 60.0
SUBMIT_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Spec:
    """`package`: its folder in `loadtest/peers`, with `setup` and `producer` in it. `parts`: the words after `python` of its long-lived
    processes; more than one process of a part are several entries. `write_only`: no rows come, the append counts as visible.
    `library`: runs in the environment of other people's libraries.
    """

    name: str
    package: str
    in_flight: int
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    guarantees: Mapping[str, str]
    python: str = sys.executable
    write_only: bool = False
    library: bool = False


class Peer:
    """A subject made of the spec's programs."""

    def __init__(self, spec: Spec, grounds: Grounds) -> None:
        self._spec, self._grounds = spec, grounds
        self.name, self.in_flight, self.guarantees = spec.name, spec.in_flight, spec.guarantees
        self._label = spec.name.replace(" ", "-")
        self._acks = grounds.folder / f"{self._label}.acks"
        self._turn = 0

    @asynccontextmanager
    async def up(self) -> AsyncIterator["LivePeer"]:
        """Its programs until the end of the block."""
        self._turn += 1
        await self._set_up()
        with (self._grounds.folder / f"{self._label}.log").open("ab") as log:
            async with AsyncExitStack() as stack:
                processes: dict[str, list[Process]] = {}
                for part, words in self._spec.parts:
                    started = await stack.enter_async_context(self._running(words, log))
                    processes.setdefault(part, []).append(started)
                producer = await stack.enter_async_context(self._running(("-m", f"{self._spec.package}.producer"), log, talks=True))
                processes["producer"] = [producer]
                yield await self._live(stack, processes, producer)

    async def _live(self, stack: AsyncExitStack, processes: dict[str, list[Process]], producer: Process) -> "LivePeer":
        if self._spec.write_only:
            return LivePeer(processes, producer, Acknowledged(self._acks))
        connection = await asyncpg.connect(self._database)
        stack.push_async_callback(connection.close)
        return LivePeer(processes, producer, Rows(connection, "comments", "created_at"))

    @property
    def _database(self) -> str:
        return self._grounds.database(self._spec.package)

    async def _set_up(self) -> None:
        """Its database, and queues and tables new for this turn: an emulator may still hold long polls of programs that are gone, and
        give them messages."""
        await postgres_server.ensure_database(self._database)
        with (self._grounds.folder / f"{self._label}.log").open("ab") as log:
            async with self._running(("-m", f"{self._spec.package}.setup"), log) as process, asyncio.timeout(SETUP_SECONDS):
                if code := await process.wait():
                    raise StackFailed(f"{self.name}: its setup ended with {code}; see {log.name}")

    @asynccontextmanager
    async def _running(self, words: tuple[str, ...], log: IO[bytes], *, talks: bool = False) -> AsyncIterator[Process]:
        process = await asyncio.create_subprocess_exec(
            *leashed((self._spec.python, *words), signal.SIGKILL, None),
            cwd=self._grounds.folder,
            env=self._environment(),
            stdin=PIPE if talks else DEVNULL,
            stdout=PIPE if talks else log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            await stop(process, signal.SIGTERM, STOP_SECONDS)

    def _environment(self) -> dict[str, str]:
        peer = {"PYTHONPATH": str(_folder()), "PEER_DATABASE_URL": self._database, "PEER_RUN": f"{self._label}-{self._turn}"}
        return {**self._grounds.environment(), **peer, **({"PEER_ACKS": str(self._acks)} if self._spec.write_only else {})}


def _folder() -> Path:
    """Where the peers' programs are."""
    found = find_spec("loadtest.peers")
    if found is None or found.origin is None:
        raise StackFailed("this installation has no `loadtest.peers`")
    return Path(found.origin).parent


class LivePeer:
    """A peer that is up."""

    def __init__(self, processes: Mapping[str, list[Process]], producer: Process, watch: Rows | Acknowledged) -> None:
        self._processes, self._producer, self._watch = processes, producer, watch

    def pids(self) -> dict[str, list[int]]:
        """All of its programs; what they start themselves is found by the meter."""
        return {part: [each.pid for each in processes] for part, processes in self._processes.items()}

    async def meters(self) -> None:
        """It has none."""

    async def work(self, job: Job) -> Done:
        """Have the producer submit all of it, wait for the rows. Raises StackFailed also when one of its programs ended."""
        watching = asyncio.create_task(self._watch.until_all(job))
        producing = asyncio.create_task(_order(self._producer, job))
        deaths = [asyncio.create_task(each.wait()) for processes in self._processes.values() for each in processes]
        try:
            await asyncio.wait({watching, *deaths}, return_when=asyncio.FIRST_COMPLETED)
            if any(death.done() for death in deaths):
                raise StackFailed("one of its programs ended; its log says why")
            visible, submitted = watching.result()
            await producing
        finally:
            for task in (watching, producing, *deaths):
                task.cancel()
            await asyncio.gather(watching, producing, *deaths, return_exceptions=True)
        return Done(submitted, visible)


async def _order(producer: Process, job: Job) -> None:
    """One line down, one line back once all of it was submitted."""
    if producer.stdin is None or producer.stdout is None:
        raise StackFailed("a producer that cannot be talked to")
    ids = [comment_id(job, number) for number in range(job.count)]
    pictures = [picture_id(number) for number in range(job.count)]
    order = {"ids": ids, "pictures": pictures, "text": job.text, "in_flight": job.in_flight, "rate": job.rate}
    producer.stdin.write(json.dumps(order).encode() + b"\n")
    await producer.stdin.drain()
    async with asyncio.timeout(SUBMIT_SECONDS):
        await producer.stdout.readline()
