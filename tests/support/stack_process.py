"""A stack in a process of its own, as a test sees it: what it says, its parts, its end."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from headrace.local import state
from headrace.local.state import Part

SECONDS = 60.0


class StackProcess:
    """`said` holds every line so far."""

    def __init__(self, process: Process, folder: Path) -> None:
        self.process, self.folder = process, folder
        self.said: list[str] = []

    async def until_said(self, words: str) -> str:
        """Read on until a line holds these words; that line."""
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while line := (await self.process.stdout.readline()).decode().rstrip():
                self.said.append(line)
                if words in line:
                    return line
        raise AssertionError(f"ended without saying {words!r}: {self.said}")

    async def exit_code(self) -> int:
        """Read to the end; how it ended."""
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            self.said += (await self.process.stdout.read()).decode().splitlines()
            return await self.process.wait()

    def part(self, name: str) -> Part:
        """The part as it is written down now."""
        return next(part for part in self.parts() if part.name == name)

    def parts(self) -> tuple[Part, ...]:
        """All parts that are written down now."""
        stack = state.read(self.folder)
        assert stack is not None
        return stack.parts

    def pids(self) -> list[int]:
        """Of all parts, with the processes that they started themselves."""
        if not state.is_live(self.folder):
            return []
        own = [part.pid for part in self.parts() if part.pid is not None]
        return [*own, *descendants(own)]


@asynccontextmanager
async def stack_process(folder: Path, *command: str) -> AsyncIterator[StackProcess]:
    """Run `python COMMAND...`; whatever the test did, it is killed in the end."""
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=PIPE, stderr=STDOUT)
    stack = StackProcess(process, folder)
    try:
        yield stack
    finally:
        if process.returncode is None:
            async with all_end(stack.pids()):
                process.kill()
        if process.stdout is not None:
            await process.stdout.read()


async def finish(*command: str) -> tuple[int, str]:
    """Run `python COMMAND...` to its end: exit code and what it said."""
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=PIPE, stderr=STDOUT)
    async with asyncio.timeout(SECONDS):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def descendants(pids: Iterable[int]) -> list[int]:
    """The processes started by these, and by those."""
    found: list[int] = []
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
            found += [*children, *descendants(children)]
    return found


@asynccontextmanager
async def all_end(pids: Iterable[int]) -> AsyncIterator[None]:
    """After the block, wait until every one of these processes has ended. Opened before it: no pid is mistaken."""
    loop = asyncio.get_running_loop()
    watched: dict[int, asyncio.Event] = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            descriptor = os.pidfd_open(pid)
            watched[descriptor] = asyncio.Event()
            loop.add_reader(descriptor, watched[descriptor].set)
    try:
        yield
        async with asyncio.timeout(SECONDS):
            for ended in watched.values():
                await ended.wait()
    finally:
        for descriptor in watched:
            loop.remove_reader(descriptor)
            os.close(descriptor)
