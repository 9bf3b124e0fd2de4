"""One batch under way: lines are prepared and queued while the body still comes, and answered in order as they are confirmed.

Three things go on side by side, and each holds little. Reading stops while AHEAD lines or AHEAD_BYTES are not answered, so a body is
taken no faster than SQS (and, with a wait, the workers) takes its commands. Answers are made in order, and wait here only for a
caller who does not read them yet: one that sends its whole body first must not wait for itself. They are 10,000 lines of text at most;
what is beyond a batch's limits is held as one number and told line by line as the caller reads.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from msgspec import structs

from events.ids import is_command_id
from events.outcome import Outcome
from gateway.answers import ENCODER, Write
from gateway.identity import Caller, new_key
from gateway.lines import AT_ONCE, LONG, MAX_BATCH, MAX_LINES, Came, Lines
from gateway.outcomes import Key, Waiter
from gateway.parcelling import BufferFull
from gateway.posting import UNCONFIRMED, Poster
from gateway.preparing import Posted, Prepared, Preparer, as_repeat
from gateway.problems import Problem
from gateway.receipts import Refused, receipt, reused, status_url
from gateway.requests import MAX_BODY, Disconnected, Pieces
from gateway.sender import NotSent
from gateway.strict_json import convert, parse
from runtime.times import Clock

AHEAD: Final = 2_000
"""Lines read and not yet answered."""
AHEAD_BYTES: Final = 4 * 1024 * 1024
PIECE: Final = 32 * 1024
"""Of receipts, roughly: what is written at once."""
MAX_LOOKS: Final = 64
"""Of one batch, for outcomes that no notice told: each costs a query."""


@dataclass(slots=True)
class _Line:
    """One line of the batch: refused (`answer` is there from the start) or on its way."""

    number: int
    prepared: Prepared | None = None
    answer: bytes | None = None
    confirmed: "asyncio.Future[None] | None" = None
    waiter: Waiter | None = None
    given_id: str | None = None
    """The caller's own id, of a line that never became a command."""

    def ready(self) -> bool:
        if self.answer is not None:
            return True
        return self.confirmed is not None and self.confirmed.done() and (self.waiter is None or self.waiter.outcome is not None)

    def size(self) -> int:
        return len(self.prepared.body) if self.prepared is not None else 0

    def refuse(self, problem: Problem) -> None:
        refused = Refused("refused", problem.code, self.number, problem.detail or problem.title, self.given_id)
        if self.prepared is not None:
            command = self.prepared.command
            url = status_url(command.id, command.stream, command.actor)
            refused = structs.replace(refused, command_id=command.id, stream=command.stream, status_url=url)
        self.answer = _line(refused)

    def remembered(self, outcome: Outcome | None) -> None:
        """It came before: its receipt, with what it came to when the caller would wait for that."""
        if self.prepared is not None:
            self.answer = _line(receipt(self.prepared.command, outcome))


@dataclass(slots=True)
class _Beyond:
    """Lines beyond the batch's limits, first to last."""

    first: int
    last: int


class Run:
    """One batch."""

    def __init__(self, preparer: Preparer, poster: Poster, clock: Clock, caller: Caller, patience: float) -> None:
        """`patience`: seconds to wait, in all, while the gateway's buffer is full; then lines are refused."""
        self._preparer, self._poster, self._clock, self._caller = preparer, poster, clock, caller
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._lines: deque[_Line | _Beyond] = deque()
        """Not yet answered."""
        self._bytes = 0
        self._came, self._room, self._answered = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._all_came = self._all_answered = False
        self._answers: deque[bytes | _Beyond] = deque()
        """Not yet written."""
        self._patience = patience
        self._looks = MAX_LOOKS

    async def answer(self, first: Came, lines: Lines, pieces: Pieces, write: Write) -> None:
        """Until every line was answered, or the caller went away: what was queued then goes on without it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(first, lines, pieces))
                tasks.create_task(self._settle(pieces))
                await self._write(write)
                reading.cancel()
        except* Disconnected:
            pass
        finally:
            for line in self._lines:
                self._forget(line)

    async def _read(self, came: Came, lines: Lines, pieces: Pieces) -> None:
        """Ends by cancellation, or because the caller is gone."""
        try:
            while came.lines or came.beyond:
                await self._take(came)
                self._came.set()
                came = await lines.next()
        except Problem as cut:
            rest = _Line(lines.number)
            rest.refuse(cut)
            self._lines.append(rest)
        self._all_came = True
        self._came.set()
        await pieces.gone()

    async def _take(self, came: Came) -> None:
        while len(self._lines) >= AHEAD or self._bytes >= AHEAD_BYTES:
            self._room.clear()
            await self._room.wait()
        new = [self._prepared(number, raw) for number, raw in enumerate(came.lines, came.first)]
        await self._claim([line for line in new if line.prepared is not None and line.prepared.key_given])
        for line in new:
            if line.answer is None and line.prepared is not None:
                await self._enqueue(line, line.prepared)
            self._lines.append(line)
            self._bytes += line.size()
        if came.beyond:
            first = came.first + len(came.lines)
            self._lines.append(_Beyond(first, first + came.beyond - 1))
        await asyncio.sleep(0)

    def _prepared(self, number: int, raw: bytes) -> _Line:
        line = _Line(number)
        try:
            value = _parsed(raw)
            line.given_id = _id_in(value)
            line.prepared = self._preparer.posted(convert(value, Posted), self._caller, new_key(), self._clock())
        except Problem as problem:
            line.refuse(problem)
        return line

    async def _claim(self, lines: list[_Line]) -> None:
        """In order: what is claimed together is queued together."""
        prepared = [line.prepared for line in lines if line.prepared is not None]
        claims = await self._poster.claims([each.command for each in prepared])
        for line, each, claim in zip(lines, prepared, claims, strict=True):
            if claim.holder != each.command.fingerprint:
                line.refuse(reused(each.command))
            elif claim.outcome is not None:
                line.remembered(claim.outcome if self._caller.wait else None)
            elif claim.repeat:
                line.prepared = as_repeat(each)

    async def _enqueue(self, line: _Line, prepared: Prepared) -> None:
        command = prepared.command
        if self._caller.wait:
            line.waiter = self._poster.outcomes.expect(_key(prepared), command.fingerprint)
        while line.confirmed is None:
            try:
                line.confirmed = self._poster.sender.add(prepared)
            except BufferFull:
                if not await self._room_in_buffer():
                    self._forget(line)
                    line.refuse(Problem("buffer_full"))
                    return

    async def _room_in_buffer(self) -> bool:
        """Whether it is worth another try: a batch can be slowed down where a single post must be refused."""
        began = self._loop.time()
        try:
            async with asyncio.timeout(self._patience):
                await self._poster.sender.room()
        except TimeoutError:
            self._patience = 0.0
            return False
        self._patience -= self._loop.time() - began
        return True

    async def _settle(self, pieces: Pieces) -> None:
        """Makes the answers, in order."""
        text = bytearray()
        while True:
            while self._lines and not isinstance(self._lines[0], _Beyond) and len(text) < PIECE and self._lines[0].ready():
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
            elif isinstance(self._lines[0], _Beyond):
                self._tell_beyond(self._lines[0])
            elif not self._lines[0].ready():
                text += await self._receipt(self._lines[0], pieces)
        self._all_answered = True
        self._answered.set()

    def _tell_beyond(self, beyond: _Beyond) -> None:
        last = self._answers[-1] if self._answers else None
        if isinstance(last, _Beyond):
            last.last = beyond.last
        else:
            self._answers.append(beyond)
        self._lines.popleft()
        self._room.set()
        self._answered.set()

    async def _receipt(self, line: _Line, pieces: Pieces) -> bytes:
        """Of the first line, which then is none any more."""
        if line.confirmed is not None and line.answer is None:
            try:
                await line.confirmed
            except NotSent:
                line.refuse(Problem("unavailable", UNCONFIRMED))
        if line.answer is None and line.prepared is not None:
            line.answer = _line(receipt(line.prepared.command, await self._outcome(line, line.prepared, pieces)))
        self._lines.popleft()
        self._bytes -= line.size()
        self._forget(line)
        return line.answer or b""

    async def _outcome(self, line: _Line, prepared: Prepared, pieces: Pieces) -> Outcome | None:
        """The time in which the caller was still sending is not taken from its wait."""
        if line.waiter is None:
            return None

        async def look() -> Outcome | None:
            self._looks -= 1
            return await self._poster.look(prepared.command) if self._looks >= 0 else None

        until = self._started + pieces.waited + self._caller.wait
        return await self._poster.outcomes.outcome(line.waiter, until, look)

    def _forget(self, line: _Line | _Beyond) -> None:
        if isinstance(line, _Line) and line.waiter is not None and line.prepared is not None:
            self._poster.outcomes.forget(_key(line.prepared), line.waiter)
            line.waiter = None

    async def _write(self, write: Write) -> None:
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


def _key(prepared: Prepared) -> Key:
    command = prepared.command
    return (command.stream, command.actor, command.id)


def _refusals(first: int, last: int) -> bytes:
    why = f"a batch holds at most {MAX_LINES} lines and {MAX_BATCH} bytes"
    return b"".join([_line(Refused("refused", "too_large", number, why)) for number in range(first, last + 1)])


def _parsed(raw: bytes) -> dict[str, Any]:
    if raw is LONG:
        raise Problem("too_large", f"a line may be at most {MAX_BODY} bytes")
    return parse(raw)


def _id_in(value: dict[str, Any]) -> str | None:
    """The id that a line gives, right or wrong in everything else."""
    ident = value.get("id")
    return ident if isinstance(ident, str) and is_command_id(ident) else None


def _line(body: object) -> bytes:
    return ENCODER.encode(body) + b"\n"
