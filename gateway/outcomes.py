"""Waits for what became of commands: one subscription to the workers' notices for all who wait, and looks where notices may be lost.

A waiter is registered before its command is sent, so no notice can pass it by. While the subscription is lost, and at the end of a
wait, the waiter looks for itself (Redis, then the stream).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import msgspec

from events.ids import StreamId, Version
from events.outcome import NOTICES, Notice, Outcome
from runtime.lifecycle import backoff
from runtime.logs import get

Look = Callable[[], Awaitable[Outcome | None]]
Key = tuple[str, str, str]
"""(stream, actor, command id)."""

LOOK_SECONDS: Final = 1.0
"""Between two looks of one waiter while there is no subscription."""
LOOKS_AT_ONCE: Final = 8
GRACE_SECONDS: Final = 5.0
"""How long those who wait go on waiting when the process is told to stop."""
_LOG: Final = get("outcomes")


class Notices(Protocol):
    """Where the workers' notices come from."""

    async def listen(self, receive: Callable[[bytes], None], listening: Callable[[], None]) -> None:
        """Calls `listening` once nothing published later can be missed, then `receive` with every message. Raises OSError."""
        ...


class Waiter:
    """One caller's wait for one command. `fingerprint` is empty for a caller who only knows the id."""

    __slots__ = ("changed", "fingerprint", "outcome", "stirred")

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.outcome: Outcome | None = None
        self.stirred = False
        """It should look for itself: a notice may have passed it by."""
        self.changed = asyncio.Event()

    def known(self) -> Outcome | None:
        """Changes while others run."""
        return self.outcome

    def told(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.changed.set()

    def stir(self) -> None:
        self.stirred = True
        self.changed.set()


class Outcomes:
    """The waiters of one gateway. `run` in a task of its own until cancelled."""

    def __init__(self, notices: Notices, learned: Callable[[StreamId, Version], None]) -> None:
        """`learned` is told of every version that an outcome somebody waited for proves to be stored."""
        self._notices, self._learned = notices, learned
        self._waiters: dict[Key, set[Waiter]] = {}
        self._looks = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._ends = float("inf")
        self.subscribed = False

    @property
    def waiting(self) -> int:
        """Commands somebody waits for."""
        return len(self._waiters)

    @contextmanager
    def expecting(self, key: Key, fingerprint: str = "") -> Iterator[Waiter]:
        """Register before the command is sent; leaves nothing behind."""
        waiter = self.expect(key, fingerprint)
        try:
            yield waiter
        finally:
            self.forget(key, waiter)

    def expect(self, key: Key, fingerprint: str = "") -> Waiter:
        """As `expecting`, for who sees to `forget` itself."""
        waiter = Waiter(fingerprint)
        self._waiters.setdefault(key, set()).add(waiter)
        return waiter

    def forget(self, key: Key, waiter: Waiter) -> None:
        """Once a waiter."""
        left = self._waiters[key]
        left.discard(waiter)
        if not left:
            del self._waiters[key]

    async def outcome(self, waiter: Waiter, until: float, look: Look) -> Outcome | None:
        """The outcome, or None when it is not known by `until` (the loop's time)."""
        loop = asyncio.get_running_loop()
        while waiter.known() is None:
            last = loop.time() >= min(until, self._ends)
            if last or waiter.stirred:
                waiter.stirred = False
                found = await self._look(look)
                if last or found is not None:
                    return waiter.known() or found
            await self._change(waiter, until)
        return waiter.outcome

    async def _change(self, waiter: Waiter, until: float) -> None:
        """Until something happened to the waiter, its time is over, or it should look because nobody would tell it."""
        unheard = asyncio.get_running_loop().time() + LOOK_SECONDS
        try:
            async with asyncio.timeout_at(min(until, self._ends, float("inf") if self.subscribed else unheard)):
                await waiter.changed.wait()
        except TimeoutError:
            waiter.stirred = True
        waiter.changed.clear()

    async def _look(self, look: Look) -> Outcome | None:
        async with self._looks:
            return await look()

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """No one waits longer than `grace` seconds from now: the process is about to end."""
        self._ends = asyncio.get_running_loop().time() + grace
        for waiter in self._everyone():
            waiter.changed.set()

    def receive(self, message: bytes) -> None:
        """A message of the channel; not even decoded when nobody waits."""
        if not self._waiters:
            return
        try:
            notices = NOTICES.decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            _LOG.warning("notice not understood", action="notice", size=len(message))
            return
        for notice in notices:
            self._tell(notice)

    def _tell(self, notice: Notice) -> None:
        for waiter in self._waiters.get((notice.stream, notice.actor, notice.command_id), ()):
            if waiter.fingerprint in ("", notice.fingerprint):
                waiter.told(notice.outcome)
                self._learned(notice.stream, notice.outcome.version)

    def _stir(self) -> None:
        for waiter in self._everyone():
            waiter.stir()

    def _everyone(self) -> list[Waiter]:
        return [waiter for waiters in self._waiters.values() for waiter in waiters]

    def _listening(self) -> None:
        self.subscribed = True
        self._stir()  # what was told until now passed us by

    async def run(self) -> None:
        """Listen for ever; a lost subscription is taken up again with backoff."""
        attempt = 0
        while True:
            try:
                await self._notices.listen(self.receive, self._listening)
            except OSError as wrong:
                attempt = 1 if self.subscribed else attempt + 1
                if attempt == 1:
                    _LOG.warning("subscription lost", action="subscribe", error=type(wrong).__name__)
            self.subscribed = False
            self._stir()
            await asyncio.sleep(backoff(attempt, random.random(), most=2.0))  # noqa: S311 - jitter
