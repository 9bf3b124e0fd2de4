"""A stream of commands as requests of the batch route, one after the other, and back as a stream of receipts. Memory is one request's."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from itertools import takewhile
from typing import Final, NamedTuple
from uuid import uuid4

import msgspec
from msgspec import structs

from gateway.calling.connection import Answer
from gateway.calling.failures import NotOurs, Refused, Unavailable
from gateway.calling.refusing import refusal
from gateway.calling.repeating import repeated
from gateway.calling.shapes import ENCODER, REFUSED, Command, Receipt

LINES: Final = 500
BYTES: Final = 1024 * 1024
LINGER_SECONDS: Final = 0.02
"""Without another command, what was gathered leaves."""
TURNS: Final = 2
NOW_AND_THEN: Final = frozenset({"buffer_full", "unavailable"})
"""Codes of lines that may be taken later."""
Post = Callable[[bytes, float, float], Awaitable[Answer]]
"""(lines, wait, seconds)."""
_RECEIPT: Final = msgspec.json.Decoder(Receipt)


class Line(NamedTuple):
    """One command as it travels."""

    command_id: str
    text: bytes


class Way(NamedTuple):
    """How requests are sent: `wait` seconds for outcomes, `deadline` seconds for each with all its repetitions."""

    post: Post
    wait: float
    deadline: float


async def batched(way: Way, commands: Iterable[Command] | AsyncIterable[Command]) -> AsyncIterator[Receipt]:
    """A receipt a command, in order. Raises Unavailable, with the id of the first command that has none, when one could not be handed
    over by the deadline."""
    before = 0
    async for lines in _requests(commands):
        receipts, failure = await _handed_over(way, lines)
        for place, receipt in enumerate(receipts, before + 1):
            yield structs.replace(receipt, line=place) if receipt.status == REFUSED else receipt
        if failure is not None:
            raise failure
        before += len(lines)


async def _requests(commands: Iterable[Command] | AsyncIterable[Command]) -> AsyncIterator[list[Line]]:
    """Lines of as many commands as one request takes."""
    lines: list[Line] = []
    size = 0
    async for command in _or_pauses(aiter(commands)) if isinstance(commands, AsyncIterable) else _each(commands):
        line = None if command is None else _line(command)
        if lines and (line is None or len(lines) == LINES or size + len(line.text) > BYTES):
            yield lines
            lines, size = [], 0
        if line is not None:
            lines.append(line)
            size += len(line.text) + 1
    if lines:
        yield lines


def _line(command: Command) -> Line:
    named = command if command.id else structs.replace(command, id=uuid4().hex)
    return Line(named.id, ENCODER.encode(named))


async def _or_pauses(commands: AsyncIterator[Command]) -> AsyncIterator[Command | None]:
    """None where the source had nothing for a moment: what was gathered need not wait for more."""
    pending: asyncio.Task[Command] | None = None
    try:
        while True:
            pending = asyncio.ensure_future(_next(commands))
            for _ in range(TURNS):  # a source that has the next one at hand needs no timer
                if pending.done():
                    break
                await asyncio.sleep(0)
            if not pending.done() and not (await asyncio.wait({pending}, timeout=LINGER_SECONDS))[0]:
                yield None
            try:
                command = await pending
            except StopAsyncIteration:
                return
            yield command
    finally:
        if pending is not None and not pending.done():
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)


async def _next(commands: AsyncIterator[Command]) -> Command:
    return await anext(commands)


async def _each(commands: Iterable[Command]) -> AsyncIterator[Command | None]:
    for command in commands:
        yield command


async def _handed_over(way: Way, lines: list[Line]) -> tuple[list[Receipt], Unavailable | Refused | None]:
    """Every line's receipt; or those up to the first line without one, and what is to be raised once they are told."""
    receipts: dict[int, Receipt] = {}
    failure: Unavailable | Refused | None = None
    try:
        await _sent(way, lines, receipts)
    except Unavailable as late:
        missing = next(place for place in range(len(lines)) if place not in receipts)
        failure = Unavailable(str(late), lines[missing].command_id)
    except Refused as no:
        failure = no
    return [receipts[place] for place in takewhile(receipts.__contains__, range(len(lines)))], failure


async def _sent(way: Way, lines: list[Line], receipts: dict[int, Receipt]) -> None:
    """Fills `receipts`, by the line's place. What was not taken is sent again, in its order, as long as the deadline allows.

    Raises Unavailable, Refused, NotOurs.
    """
    left = list(range(len(lines)))

    async def once(seconds: float) -> Answer:
        answer = await way.post(b"".join([lines[place].text + b"\n" for place in left]), way.wait, seconds)
        if answer.status != 200:
            return answer
        for place, receipt in zip(list(left), _receipts(answer, len(left)), strict=True):
            if not (receipt.status == REFUSED and receipt.code in NOW_AND_THEN):
                receipts[place] = receipt
                left.remove(place)
        return answer._replace(status=503) if left else answer

    answer = await repeated(once, asyncio.get_running_loop().time() + way.deadline + way.wait)
    if answer.status != 200:
        raise refusal(answer)


def _receipts(answer: Answer, count: int) -> list[Receipt]:
    """Raises NotOurs."""
    try:
        found = [_RECEIPT.decode(line) for line in answer.body.splitlines()]
    except msgspec.MsgspecError as wrong:
        raise NotOurs(f"a batch was answered by something else: {wrong}") from wrong
    if len(found) != count:
        raise NotOurs(f"{count} commands were answered by {len(found)} receipts")
    return found
