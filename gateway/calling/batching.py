"""A stream of commands as requests of the batch route, one after the other, and back as a stream of receipts. Memory is one request's."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Final
from uuid import uuid4

import msgspec
from msgspec import structs

from gateway.calling.connection import Answer
from gateway.calling.failures import NotOurs
from gateway.calling.refusing import refusal
from gateway.calling.repeating import repeated
from gateway.calling.shapes import ENCODER, REFUSED, Command, Receipt

LINES: Final = 500
BYTES: Final = 1024 * 1024
LINGER_SECONDS: Final = 0.02
"""Without another command, what was gathered leaves."""
TURNS: Final = 2
DEADLINE_SECONDS: Final = 60.0
"""Of one request's commands, with all repetitions."""
NOW_AND_THEN: Final = frozenset({"buffer_full", "unavailable"})
"""Codes of lines that may be taken later."""
Post = Callable[[bytes, float, float], Awaitable[Answer]]
"""(lines, wait, seconds)."""
_RECEIPT: Final = msgspec.json.Decoder(Receipt)


async def batched(post: Post, commands: Iterable[Command] | AsyncIterable[Command], wait: float) -> AsyncIterator[Receipt]:
    """A receipt a command, in order. Raises Unavailable when one could not be handed over by the deadline."""
    before = 0
    async for lines in _requests(commands):
        for place, receipt in enumerate(await _handed_over(post, lines, wait), before + 1):
            yield structs.replace(receipt, line=place) if receipt.status == REFUSED else receipt
        before += len(lines)


async def _requests(commands: Iterable[Command] | AsyncIterable[Command]) -> AsyncIterator[list[bytes]]:
    """Lines of as many commands as one request takes."""
    lines: list[bytes] = []
    size = 0
    async for command in _or_pauses(aiter(commands)) if isinstance(commands, AsyncIterable) else _each(commands):
        line = b"" if command is None else ENCODER.encode(command if command.id else structs.replace(command, id=uuid4().hex))
        if lines and (command is None or len(lines) == LINES or size + len(line) > BYTES):
            yield lines
            lines, size = [], 0
        if line:
            lines.append(line)
            size += len(line) + 1
    if lines:
        yield lines


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


async def _handed_over(post: Post, lines: list[bytes], wait: float) -> list[Receipt]:
    """Every line's receipt. What was not taken is sent again, in its order, as long as the deadline allows."""
    receipts: dict[int, Receipt] = {}
    left = list(range(len(lines)))
    deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS + wait

    async def once(seconds: float) -> Answer:
        answer = await post(b"\n".join([lines[place] for place in left]) + b"\n", wait, seconds)
        if answer.status != 200:
            return answer
        for place, receipt in zip(list(left), _receipts(answer, len(left)), strict=True):
            if not (receipt.status == REFUSED and receipt.code in NOW_AND_THEN):
                receipts[place] = receipt
                left.remove(place)
        return answer._replace(status=503) if left else answer

    answer = await repeated(once, deadline)
    if answer.status != 200:
        raise refusal(answer)
    return [receipts[place] for place in range(len(lines))]


def _receipts(answer: Answer, count: int) -> list[Receipt]:
    """Raises NotOurs."""
    try:
        found = [_RECEIPT.decode(line) for line in answer.body.splitlines()]
    except msgspec.MsgspecError as wrong:
        raise NotOurs(f"a batch was answered by something else: {wrong}") from wrong
    if len(found) != count:
        raise NotOurs(f"{count} commands were answered by {len(found)} receipts")
    return found
