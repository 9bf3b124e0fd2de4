"""The answers of one batch: lines wait here until they are confirmed, are answered in order, and written as the caller takes them."""

import asyncio
from collections import deque
from typing import Final

from events.outcome import Outcome
from gateway.answers import Write
from gateway.batch_line import BatchLine, Beyond, encoded
from gateway.lines import AT_ONCE, MAX_BATCH, MAX_LINES
from gateway.outcomes import Key
from gateway.posting import UNCONFIRMED, Poster
from gateway.preparing import Prepared
from gateway.problems import Problem
from gateway.receipts import Refused, receipt
from gateway.requests import Pieces
from gateway.sender import NotSent

AHEAD: Final = 2_000
"""Lines read and not yet answered."""
AHEAD_BYTES: Final = 4 * 1024 * 1024
PIECE: Final = 32 * 1024
"""Of receipts, roughly: what is written at once."""
MAX_LOOKS: Final = 64
"""Of one batch, for outcomes that no notice told: each costs a query."""


class Answers:
    """`settle` and `write` go on side by side, while lines are added as they are read."""

    def __init__(self, poster: Poster, wait: float) -> None:
        """`wait`: seconds for outcomes, from now, and not counting those in which the caller was still sending."""
        self._poster, self._wait = poster, wait
        self._started = asyncio.get_running_loop().time()
        self._lines: deque[BatchLine | Beyond] = deque()
        """Not yet answered."""
        self._bytes = 0
        self._came, self._room, self._answered = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._all_came = self._all_answered = False
        self._answers: deque[bytes | Beyond] = deque()
        """Not yet written."""
        self._looks = MAX_LOOKS

    async def room(self) -> None:
        """Until more may be read."""
        while len(self._lines) >= AHEAD or self._bytes >= AHEAD_BYTES:
            self._room.clear()
            await self._room.wait()

    def add(self, line: BatchLine | Beyond) -> None:
        """The next one."""
        self._lines.append(line)
        if isinstance(line, BatchLine):
            self._bytes += line.size()

    def came(self, *, all_of_it: bool = False) -> None:
        """What was added is to be looked at; `all_of_it`: no more will be."""
        self._all_came = self._all_came or all_of_it
        self._came.set()

    def forget_all(self) -> None:
        """The caller is gone."""
        for line in self._lines:
            self.forget(line)

    async def settle(self, pieces: Pieces) -> None:
        """Makes the answers, in order, until all came and was answered."""
        text = bytearray()
        while True:
            while self._lines and not isinstance(self._lines[0], Beyond) and len(text) < PIECE and self._lines[0].ready():
                text += await self._receipt(self._lines[0], pieces)
            if text:
                self._answers.append(bytes(text))
                self._answered.set()
                self._room.set()
                text.clear()
            if not self._lines:
                if self._all_came:
                    break
                self._came.clear()
                await self._came.wait()
            elif isinstance(self._lines[0], Beyond):
                self._tell_beyond(self._lines[0])
            elif not self._lines[0].ready():
                text += await self._receipt(self._lines[0], pieces)
        self._all_answered = True
        self._answered.set()

    def _tell_beyond(self, beyond: Beyond) -> None:
        last = self._answers[-1] if self._answers else None
        if isinstance(last, Beyond):
            last.last = beyond.last
        else:
            self._answers.append(beyond)
        self._lines.popleft()
        self._room.set()
        self._answered.set()

    async def _receipt(self, line: BatchLine, pieces: Pieces) -> bytes:
        """Of the first line, which then is none any more."""
        if line.confirmed is not None and line.answer is None:
            try:
                await line.confirmed
            except NotSent:
                line.refuse(Problem("unavailable", UNCONFIRMED))
        if line.answer is None and line.prepared is not None:
            line.answer = encoded(receipt(line.prepared.command, await self._outcome(line, line.prepared, pieces)))
        self._lines.popleft()
        self._bytes -= line.size()
        self.forget(line)
        return line.answer or b""

    async def _outcome(self, line: BatchLine, prepared: Prepared, pieces: Pieces) -> Outcome | None:
        """The time in which the caller was still sending is not taken from its wait."""
        if line.waiter is None:
            return None

        async def look() -> Outcome | None:
            self._looks -= 1
            return await self._poster.look(prepared.command) if self._looks >= 0 else None

        until = self._started + pieces.waited + self._wait
        return await self._poster.outcomes.outcome(line.waiter, until, look)

    def forget(self, line: BatchLine | Beyond) -> None:
        """Nobody waits for its outcome any more."""
        if isinstance(line, BatchLine) and line.waiter is not None and line.prepared is not None:
            self._poster.outcomes.forget(key_of(line.prepared), line.waiter)
            line.waiter = None

    async def write(self, write: Write) -> None:
        """Until all was answered."""
        while not (self._all_answered and not self._answers):
            if not self._answers:
                self._answered.clear()
                await self._answered.wait()
                continue
            answer = self._answers.popleft()
            if isinstance(answer, bytes):
                await write(answer)
                continue
            for first in range(answer.first, answer.last + 1, AT_ONCE):
                await write(_refusals(first, min(first + AT_ONCE - 1, answer.last)))
                await asyncio.sleep(0)


def key_of(prepared: Prepared) -> Key:
    """Under which its outcome is told."""
    command = prepared.command
    return (command.stream, command.actor, command.id)


def _refusals(first: int, last: int) -> bytes:
    why = f"a batch holds at most {MAX_LINES} lines and {MAX_BATCH} bytes"
    return b"".join([encoded(Refused("refused", "too_large", number, why)) for number in range(first, last + 1)])
