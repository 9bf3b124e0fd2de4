"""Keeps one program alive: starts it, waits until it is ready, and starts it again when it dies, aloud and with backoff."""

import asyncio
import random
import signal
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from typing import Final

from headrace.errors import StackFailed
from headrace.local.process import spawn, stop, until_ready
from headrace.local.program import Program
from runtime.lifecycle import backoff, pause

MOST_DEATHS: Final = 5
MOST_SECONDS: Final = 10.0
"""From a death to the next life, when lives are short."""
_LASTING_SECONDS: Final = 30.0
_FIRST_SECONDS: Final = 0.25
Say = Callable[[str], None]
Return = Callable[[], Awaitable[None]]


class Keeper:
    """One program and its lives. `pid` and `restarts` are for status; `changed` is called when one of them changes.

    `returned` is awaited when the program is ready again after a death: the place to tell it what it has forgotten.
    """

    def __init__(self, program: Program, say: Say, changed: Callable[[], None], returned: Return | None = None) -> None:
        self.program = program
        self.pid: int | None = None
        self.restarts = 0
        self.restart = True
        self.most_seconds, self.most_deaths = MOST_SECONDS, MOST_DEATHS
        self.ready = asyncio.Event()
        self._say, self._changed, self._returned = say, changed, returned
        self._stop, self._ended = asyncio.Event(), asyncio.Event()
        self._process: Process | None = None

    async def run(self) -> None:
        """All its lives, until `drain`, or until it died `most_deaths` times in a row before it was ready: StackFailed."""
        unready = streak = 0
        clock = asyncio.get_running_loop().time
        try:
            while not self._stop.is_set():
                born = clock()
                code = await self._live()
                if self._stop.is_set():
                    return
                unready = 0 if self.ready.is_set() else unready + 1
                self.ready.clear()
                streak = 1 if clock() - born > _LASTING_SECONDS else streak + 1
                if not await self._again(code, unready, streak):
                    return
        finally:
            self._ended.set()

    async def until_ready(self) -> None:
        """Wait until this life, or the next, is ready. Raises StackFailed when it takes too long."""
        try:
            async with asyncio.timeout(self.program.start_seconds):
                await self.ready.wait()
        except TimeoutError as exc:
            late = f"{self.program.name} was not ready in {self.program.start_seconds:g} s; see {self.program.log}"
            raise StackFailed(late) from exc

    def ask_to_stop(self) -> None:
        """No further life; this one is asked to end."""
        self._stop.set()
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(self.program.stop_signal)

    def kill(self) -> None:
        """This life ends now."""
        self._stop.set()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def ended(self) -> None:
        """Wait until the last life is over."""
        await self._ended.wait()

    async def _live(self) -> int:
        """From start to death; its exit code. Cancelled: killed."""
        process = self._process = await spawn(self.program)
        self._set_pid(process.pid)
        if self._stop.is_set():  # asked while it was being started
            self.ask_to_stop()
        watch = asyncio.create_task(self._watch())
        try:
            return await process.wait()
        finally:
            watch.cancel()
            await asyncio.wait({watch})
            await stop(process, signal.SIGKILL, 10.0)
            self._set_pid(None)

    async def _watch(self) -> None:
        await until_ready(self.program)
        if self.restarts and self._returned is not None:
            await self._returned()
        self.ready.set()
        if self.restarts:
            self._say(f"{self.program.name} is back ({self.program.url})")

    async def _again(self, code: int, unready: int, streak: int) -> bool:
        """Say that it died and wait for its next life; False when there is none."""
        name, log = self.program.name, self.program.log
        how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        if unready >= self.most_deaths:
            raise StackFailed(f"{name} {how}, {unready} times in a row before it was ready; see {log}")
        if not self.restart:
            if unready:
                raise StackFailed(f"{name} {how} before it was ready; see {log}")
            self._say(f"{name} {how} and stays away (--no-restart); see {log}")
            return False
        seconds = backoff(streak, random.random(), _FIRST_SECONDS, self.most_seconds)  # noqa: S311 - jitter
        self.restarts += 1
        self._say(f"{name} {how}; restart {self.restarts} in {seconds:.1f} s, see {log}")
        self._changed()
        return not await pause(self._stop, seconds)

    def _set_pid(self, pid: int | None) -> None:
        self.pid = pid
        self._changed()
