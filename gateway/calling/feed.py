"""The feed of changes, followed over as many connections as it takes: each goes on behind the last id of the one before."""

import asyncio
import random
from asyncio import StreamReader
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final

import httptools
import msgspec
from msgspec import Struct

from gateway.calling.connection import Answer, Lost
from gateway.calling.events import Blocks
from gateway.calling.failures import NotOurs, Unavailable
from gateway.calling.pool import Pool
from gateway.calling.refusing import refusal
from gateway.calling.repeating import LATER
from runtime.lifecycle import backoff

HEAD_SECONDS: Final = 15.0
SILENCE_SECONDS: Final = 45.0
"""Three heartbeats: a connection that says nothing for so long is none."""
PIECE: Final = 64 * 1024
MAX_REFUSAL: Final = 64 * 1024
RESET: Final = "reset"


class Change(Struct, frozen=True):
    """An event that has become visible. `id`: give it as `since` to go on behind it.

    One named `reset` has no more than its id: changes before it were missed that are no longer kept.
    """

    id: str = ""
    name: str = ""
    stream: str = ""
    version: int = 0
    data: Any = None
    at: str = ""
    actor: str = ""
    command_id: str = ""
    picture_id: str | None = None


class _Head:
    """What httptools tells of an answer."""

    def __init__(self) -> None:
        self.begun = self.complete = False
        self.body: list[bytes] = []

    def on_headers_complete(self) -> None:
        self.begun = True

    def on_body(self, piece: bytes) -> None:
        self.body.append(piece)

    def on_message_complete(self) -> None:
        self.complete = True

    def taken(self) -> bytes:
        body, self.body = b"".join(self.body), []
        return body


async def follow(pool: Pool, request: Callable[[str], bytes], seconds: float) -> AsyncGenerator[Change, None]:
    """`request` is given the last id. Raises Refused, NotOurs; Unavailable when for so many seconds no connection brought anything."""
    clock = asyncio.get_running_loop().time
    blocks = Blocks()
    attempt, until = 0, clock() + seconds
    heard = False
    while True:
        try:
            async with aclosing(_answer(pool, request(blocks.last_id), seconds)) as pieces:
                blocks = Blocks(blocks.last_id)
                async for piece in pieces:
                    heard = True
                    for block in blocks.feed(piece):
                        yield _change(block.id, block.name, block.data)
            why = "the feed ended"
        except TimeoutError:
            why = "no word in time"
        except OSError as wrong:
            why = f"{type(wrong).__name__}: {wrong}"
        if heard:  # however long the caller took for what was heard
            attempt, until, heard = 0, clock() + seconds, False
        attempt += 1
        pause = backoff(attempt, random.random(), first=0.2)  # noqa: S311 - jitter
        if clock() + pause >= until:
            raise Unavailable(why)
        await asyncio.sleep(pause)


async def _answer(pool: Pool, request: bytes, seconds: float) -> AsyncGenerator[bytes, None]:
    """The body's pieces. Raises OSError, TimeoutError, Refused, NotOurs."""
    reader, writer = await pool.open()
    try:
        writer.write(request)
        head = _Head()
        parser = httptools.HttpResponseParser(head)
        async with asyncio.timeout(min(seconds, HEAD_SECONDS)):
            while not head.begun:
                await _read(reader, parser)
            status = parser.get_status_code()
            while status != 200 and not head.complete and sum(map(len, head.body)) < MAX_REFUSAL:
                await _read(reader, parser)
        if status in LATER:
            raise Lost(f"answered {status}")
        if status != 200:
            raise refusal(Answer(status, {}, head.taken()))
        while True:
            if head.body:
                yield head.taken()
            if head.complete:
                return
            async with asyncio.timeout(SILENCE_SECONDS):
                await _read(reader, parser)
    finally:
        writer.transport.abort()


async def _read(reader: StreamReader, parser: httptools.HttpResponseParser) -> None:
    data = await reader.read(PIECE)
    if not data:
        raise Lost("closed by the gateway")
    try:
        parser.feed_data(data)
    except httptools.HttpParserError as wrong:
        raise NotOurs(f"not HTTP/1.1: {wrong}") from wrong


def _change(ident: str, name: str, data: bytes) -> Change:
    if name == RESET:
        return Change(ident, name)
    try:
        return msgspec.structs.replace(msgspec.json.decode(data, type=Change), id=ident, name=name)
    except msgspec.MsgspecError as wrong:
        raise NotOurs(f"an event of {data[:200].decode(errors='replace')}: {wrong}") from wrong
