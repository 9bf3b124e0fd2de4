"""Requests in a closed loop over many connections, and what a server of one process spends on them."""

import asyncio
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from headrace.local.ports import HOST

TEXT: Final = b"x" * 200
LINES: Final = 1000
WARM_SECONDS: Final = 0.7
_MARK: Final = b"@@@@@@@@"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.I)
Made = Callable[[int], bytes]
"""The request of a number."""


class Server(NamedTuple):
    """One process, listening."""

    pid: int
    port: int


class Figures(NamedTuple):
    """Of one measurement."""

    rate: float
    """Commands a second."""
    cpu: float
    """Microseconds of the server's CPU for each."""
    busy: float
    """Of the server's core, 0 to 1."""
    generator: float
    """Of the generator's."""
    refused: int


def batch(*, keyed: bool) -> Made:
    """Creations, each a stream of its own; `keyed`: under ids of the caller's."""
    ident = b'"id":"k%s-%d",' if keyed else b""
    lines = []
    for place in range(LINES):
        given = ident % (_MARK, place) if keyed else b""
        data = b'{"comment_id":"c%s-%d","picture_id":"p%d","text":"%s"}' % (_MARK, place, place % 50, TEXT)
        lines.append(b'{"name":"comment.create",%s"data":%s}\n' % (given, data))
    body = b"".join(lines)
    head = b"POST /commands/batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ncontent-length: %d\r\n\r\n" % len(body)
    return lambda number: (head + body).replace(_MARK, b"%08d" % number)


def post(*, keyed: bool) -> Made:
    """One creation."""
    body = b'{"comment_id":"c%s","text":"%s"}' % (_MARK, TEXT)
    key = b"idempotency-key: k%s\r\n" % _MARK if keyed else b""
    head = b"POST /pictures/p1/comments HTTP/1.1\r\nhost: x\r\n%scontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    whole = head % (key, len(body)) + body
    return lambda number: whole.replace(_MARK, b"%08d" % number)


class _Connection(asyncio.Protocol):
    """Asks, waits for the whole answer, asks again. Knows both framings, by their ends."""

    def __init__(self, load: "Load") -> None:
        self._load, self._held = load, b""
        self._framed: bool | None = None

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self._transport.write(self._load.next())

    def data_received(self, data: bytes) -> None:
        self._load.took(data)
        self._held += data
        if not self._whole():
            self._held = self._held if self._framed is None else self._held[-8:]
            return
        self._held, self._framed = b"", None
        self._load.answered += 1
        self._transport.write(self._load.next())

    def _whole(self) -> bool:
        """`_framed` is True within a chunked answer, whose beginning need not be kept."""
        if self._framed is None:
            head = self._held.find(b"\r\n\r\n")
            if head < 0:
                return False
            length = _LENGTH.search(self._held, 0, head + 2)
            if length:
                return len(self._held) - head - 4 >= int(length[1])
            self._framed = True
        return self._held.endswith(b"\r\n0\r\n\r\n")


class Load:
    """Requests in a closed loop."""

    _numbers = 0

    def __init__(self, made: Made) -> None:
        self._made = made
        self.answered = self.refused = 0

    def next(self) -> bytes:
        Load._numbers += 1
        return self._made(Load._numbers)

    def took(self, data: bytes) -> None:
        self.refused += data.count(b'"refused"') + data.count(b"HTTP/1.1 4") + data.count(b"HTTP/1.1 5")


async def measured(server: Server, made: Made, seconds: float, size: tuple[int, int]) -> Figures:
    """`size` is (requests at once, commands of each)."""
    at_once, each = size
    load, loop = Load(made), asyncio.get_running_loop()
    transports = [(await loop.create_connection(lambda: _Connection(load), HOST, server.port))[0] for _ in range(at_once)]
    await asyncio.sleep(WARM_SECONDS)
    before, cpu, mine, began = load.answered, _cpu(server.pid), time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    took, count = time.monotonic() - began, (load.answered - before) * each
    spent, generator = _cpu(server.pid) - cpu, time.process_time() - mine
    for transport in transports:
        transport.abort()
    return Figures(count / took, spent / max(1, count) * 1e6, spent / took, generator / took, load.refused)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> float:
    """Megabytes that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
