"""One batch under way: lines are prepared and queued while the body still comes, and answered in order as they are confirmed.

Three things go on side by side, and each holds little. Reading stops while AHEAD lines or AHEAD_BYTES are not answered, so a body is
taken no faster than SQS (and, with a wait, the workers) takes its commands. Answers are made in order, and wait here only for a
caller who does not read them yet: one that sends its whole body first must not wait for itself. They are 10,000 lines of text at most;
what is beyond a batch's limits is held as one number and told line by line as the caller reads.
"""

import asyncio
from typing import Any

from events.ids import is_command_id
from gateway.answers import Write
from gateway.batch_answers import Answers, key_of
from gateway.batch_line import BatchLine, Beyond
from gateway.identity import Caller, new_key
from gateway.lines import LONG, Came, Lines
from gateway.parcelling import BufferFull
from gateway.posting import Poster
from gateway.preparing import Posted, Prepared, Preparer, as_repeat
from gateway.problems import Problem
from gateway.receipts import reused
from gateway.requests import MAX_BODY, Disconnected, Pieces
from gateway.strict_json import convert, parse
from runtime.times import Clock


class Run:
    """One batch."""

    def __init__(self, preparer: Preparer, poster: Poster, clock: Clock, caller: Caller, patience: float) -> None:
        """`patience`: seconds to wait, in all, while the gateway's buffer is full; then lines are refused."""
        self._preparer, self._poster, self._clock, self._caller = preparer, poster, clock, caller
        self._loop = asyncio.get_running_loop()
        self._answers = Answers(poster, caller.wait)
        self._patience = patience

    async def answer(self, first: Came, lines: Lines, pieces: Pieces, write: Write) -> None:
        """Until every line was answered, or the caller went away: what was queued then goes on without it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(first, lines, pieces))
                tasks.create_task(self._answers.settle(pieces))
                await self._answers.write(write)
                reading.cancel()
        except* Disconnected:
            pass
        finally:
            self._answers.forget_all()

    async def _read(self, came: Came, lines: Lines, pieces: Pieces) -> None:
        """Ends by cancellation, or because the caller is gone."""
        try:
            while came.lines or came.beyond:
                await self._take(came)
                self._answers.came()
                came = await lines.next()
        except Problem as cut:
            rest = BatchLine(lines.number)
            rest.refuse(cut)
            self._answers.add(rest)
        self._answers.came(all_of_it=True)
        await pieces.gone()

    async def _take(self, came: Came) -> None:
        await self._answers.room()
        new = [self._prepared(number, raw) for number, raw in enumerate(came.lines, came.first)]
        await self._claim([line for line in new if line.prepared is not None and line.prepared.key_given])
        for line in new:
            if line.answer is None and line.prepared is not None:
                await self._enqueue(line, line.prepared)
            self._answers.add(line)
        if came.beyond:
            first = came.first + len(came.lines)
            self._answers.add(Beyond(first, first + came.beyond - 1))
        await asyncio.sleep(0)

    def _prepared(self, number: int, raw: bytes) -> BatchLine:
        line = BatchLine(number)
        try:
            value = _parsed(raw)
            line.given_id = _id_in(value)
            line.prepared = self._preparer.posted(convert(value, Posted), self._caller, new_key(), self._clock())
        except Problem as problem:
            line.refuse(problem)
        return line

    async def _claim(self, lines: list[BatchLine]) -> None:
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

    async def _enqueue(self, line: BatchLine, prepared: Prepared) -> None:
        command = prepared.command
        if self._caller.wait:
            line.waiter = self._poster.outcomes.expect(key_of(prepared), command.fingerprint)
        while line.confirmed is None:
            try:
                line.confirmed = self._poster.sender.add(prepared)
            except BufferFull as full:
                if not await self._room_in_buffer():
                    self._answers.forget(line)
                    line.refuse(Problem(full.code, full.detail))
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


def _parsed(raw: bytes) -> dict[str, Any]:
    if raw is LONG:
        raise Problem("too_large", f"a line may be at most {MAX_BODY} bytes")
    return parse(raw)


def _id_in(value: dict[str, Any]) -> str | None:
    """The id that a line gives, right or wrong in everything else."""
    ident = value.get("id")
    return ident if isinstance(ident, str) and is_command_id(ident) else None
