"""`POST /commands/batch`: one command a line, one receipt a line, in order and as SQS confirms them."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from msgspec import structs

from events.ids import is_command_id
from events.outcome import Outcome
from gateway.answers import ENCODER, NDJSON, Header, Stream
from gateway.identity import Caller, caller_of, new_key
from gateway.outcomes import Waiter
from gateway.parcelling import BufferFull
from gateway.posting import UNCONFIRMED, Poster
from gateway.preparing import Posted, Prepared, Preparer, as_repeat
from gateway.problems import Problem, malformed
from gateway.receipts import Refused, receipt, status_url
from gateway.requests import MAX_BODY, Request
from gateway.sender import NotSent
from gateway.strict_json import convert, parse
from runtime.times import Clock

MAX_LINES: Final = 10_000
MAX_BATCH: Final = 16 * 1024 * 1024
KINDS: Final = (b"application/x-ndjson", b"application/ndjson")
AT_ONCE: Final = 200
"""Lines read before the loop may turn to other callers."""
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


class BatchRoute:
    """One route."""

    def __init__(self, preparer: Preparer, poster: Poster, clock: Clock) -> None:
        self._preparer, self._poster, self._clock = preparer, poster, clock

    async def post(self, request: Request) -> Stream:
        """Always 200 once the body was read; what is wrong with a line stands in its receipt."""
        request.parameters()
        caller = caller_of(request)
        if caller.key is not None or caller.expected_version is not None:
            raise malformed("in a batch, id and expected_version stand in the lines, not in headers")
        body = await request.body(KINDS, MAX_BATCH)
        headers: list[Header] = [NDJSON]
        if caller.wait:
            headers.append((b"preference-applied", b"wait=%d" % caller.wait))
        return Stream(200, headers, self._receipts(body, caller))

    async def _receipts(self, body: bytes, caller: Caller) -> AsyncGenerator[bytes, None]:
        under_way: deque[_Line] = deque()
        run = _Run(self._poster, asyncio.get_running_loop().time() + caller.wait)
        with ExitStack() as waits:
            for lines in _chunks(body):
                for line, raw in lines:
                    self._prepare(line, raw, caller)
                await self._enqueue([line for line, _ in lines], caller, waits)
                under_way.extend(line for line, _ in lines)
                if under_way[0].ready():
                    yield await run.answers(under_way, only_ready=True)
            while under_way:
                yield await run.answers(under_way, only_ready=False)

    def _prepare(self, line: _Line, raw: bytes, caller: Caller) -> None:
        try:
            _check_size(line, raw)
            value = parse(raw)
            line.given_id = _id_in(value)
            line.prepared = self._preparer.posted(convert(value, Posted), caller, new_key(), self._clock())
        except Problem as problem:
            line.refuse(problem)

    async def _enqueue(self, lines: list[_Line], caller: Caller, waits: ExitStack) -> None:
        """In order: what is claimed together is queued together."""
        claims = [self._claim(line, caller) for line in lines if line.prepared and line.prepared.key_given]
        if claims:
            await asyncio.gather(*claims)
        else:
            await asyncio.sleep(0)
        for line in lines:
            if line.prepared is None or line.answer is not None:
                continue
            command = line.prepared.command
            if caller.wait:
                expecting = self._poster.outcomes.expecting((command.stream, command.actor, command.id), command.fingerprint)
                line.waiter = waits.enter_context(expecting)
            try:
                line.confirmed = self._poster.sender.add(line.prepared)
            except BufferFull:
                line.refuse(Problem("buffer_full"))

    async def _claim(self, line: _Line, caller: Caller) -> None:
        if line.prepared is None:
            return
        try:
            claim = await self._poster.claim(line.prepared.command)
        except Problem as problem:
            line.refuse(problem)
            return
        if claim.outcome is not None:
            line.remembered(claim.outcome if caller.wait else None)
        elif claim.repeat:
            line.prepared = as_repeat(line.prepared)


class _Run:
    """Answers the lines of one batch, in order."""

    def __init__(self, poster: Poster, until: float) -> None:
        self._poster, self._until = poster, until
        self._looks = MAX_LOOKS

    async def answers(self, lines: deque[_Line], *, only_ready: bool) -> bytes:
        """The receipts of the first line, waited for unless `only_ready`, and of all that are ready behind it."""
        text = bytearray()
        if not only_ready:
            text += await self._answer(lines.popleft())
        while lines and lines[0].ready():
            text += await self._answer(lines.popleft())
        return bytes(text)

    async def _answer(self, line: _Line) -> bytes:
        if line.confirmed is not None and line.answer is None:
            try:
                await line.confirmed
            except NotSent:
                line.refuse(Problem("unavailable", UNCONFIRMED))
        if line.answer is not None or line.prepared is None:
            return line.answer or b""
        return _line(receipt(line.prepared.command, await self._outcome(line, line.prepared)))

    async def _outcome(self, line: _Line, prepared: Prepared) -> Outcome | None:
        if line.waiter is None:
            return None

        async def look() -> Outcome | None:
            self._looks -= 1
            return await self._poster.look(prepared.command) if self._looks >= 0 else None

        return await self._poster.outcomes.outcome(line.waiter, self._until, look)


def _id_in(value: dict[str, Any]) -> str | None:
    """The id that a line gives, right or wrong in everything else."""
    ident = value.get("id")
    return ident if isinstance(ident, str) and is_command_id(ident) else None


def _check_size(line: _Line, raw: bytes) -> None:
    if line.number > MAX_LINES:
        raise Problem("too_large", f"a batch holds at most {MAX_LINES} lines")
    if len(raw) > MAX_BODY:
        raise Problem("too_large", f"a line may be at most {MAX_BODY} bytes")


def _chunks(body: bytes) -> Iterator[list[tuple[_Line, bytes]]]:
    """The lines, numbered from 1; the end of the last one may be missing."""
    raw = body.split(b"\n")
    if not raw[-1]:
        raw.pop()
    for start in range(0, len(raw), AT_ONCE):
        chunk = raw[start : start + AT_ONCE]
        yield [(_Line(number), text) for number, text in enumerate(chunk, start + 1)]


def _line(body: object) -> bytes:
    return ENCODER.encode(body) + b"\n"
