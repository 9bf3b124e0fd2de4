"""What one gateway takes on one core, with SQS out of the way: `python -m tests.support.gateway_rate [SECONDS]`.

The gateway is pinned to one core; the generator, an SQS that answers at once and Redis share the other. Everything in the gateway is
real, SQS client and Redis client included; only what reads need is missing. Beside it, the yardstick of single posts: the bare ASGI
application of loadtest.bench.bare, on the same core, with the same bodies. One line a measurement.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import uvloop

from events.memory_store import MemoryStore
from gateway.command_queue import SqsCommandQueue
from gateway.composition import Ports, running
from gateway.redis_memory import RedisMemory
from gateway.server import serving
from gateway.subscription import RedisNotices
from headrace.local import redis_server
from headrace.local.ports import HOST, free_port
from runtime import memory
from runtime.aws import open_aws
from runtime.redis_client import open_redis
from runtime.settings import Settings
from runtime.stack import PARTITIONS
from tests.unit.gateway.fakes import REGISTRY, FakeReads

GATEWAY_CORE, OTHER_CORE = 0, 1
TEXT: Final = b"x" * 200
LINES: Final = 1000
BATCHES_AT_ONCE: Final = 16
POSTS_AT_ONCE: Final = 512
_MARK: Final = b"@@@@@@@@"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.I)
Made = Callable[[int], bytes]
"""The request of a number."""


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


async def measured(name: str, server: tuple[int, int], load: "Load", seconds: float, size: tuple[int, int]) -> float:
    """`server` is (pid, port); `size` is (requests at once, commands of each). Prints; commands a second."""
    (pid, port), (at_once, each) = server, size
    loop = asyncio.get_running_loop()
    transports = [(await loop.create_connection(lambda: _Connection(load), HOST, port))[0] for _ in range(at_once)]
    await asyncio.sleep(1.5)  # everything is warm
    before, cpu, mine, began = load.answered, _cpu(pid), time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    took, answered = time.monotonic() - began, load.answered - before
    spent, generator = _cpu(pid) - cpu, time.process_time() - mine
    for transport in transports:
        transport.abort()
    rate = answered * each / took
    print(
        f"{name:24s} {rate:9,.0f}/s  {spent / max(1, answered * each) * 1e6:6.1f} us CPU each, core {spent / took:4.0%} busy, "
        f"generator {generator / took:4.0%}, RSS {_rss(pid):.0f} MB, refused {load.refused}",
        flush=True,
    )
    return rate


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@asynccontextmanager
async def gateway(endpoint: str, redis_url: str) -> AsyncIterator[int]:
    """A gateway on real clients; its port."""
    settings = Settings(aws_endpoint_url=endpoint, redis_url=redis_url, stack="rate")
    async with open_aws(settings) as aws, open_redis(settings) as redis:
        reads = FakeReads()
        queue = SqsCommandQueue(await aws.sqs(), f"{endpoint}/000000000000/rate-commands.fifo")
        ports = Ports(
            queue,
            MemoryStore(),
            REGISTRY,
            RedisMemory(redis, "rate"),
            RedisNotices(redis, "rate"),
            reads,
            reads.projected,
            {},
            PARTITIONS,
        )
        async with running(ports) as made, serving(made.app, (HOST, 0)) as port:
            memory.settle()
            yield port


async def _serve(endpoint: str, redis_url: str) -> None:
    async with gateway(endpoint, redis_url) as port:
        print(port, flush=True)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()


@contextmanager
def _process(core: int, *argv: str) -> Iterator["subprocess.Popen[str]"]:
    environment = os.environ | {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    with subprocess.Popen(("taskset", "-c", str(core), *argv), stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()


async def _listening(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def main(seconds: float) -> None:
    """All of them."""
    os.sched_setaffinity(0, {OTHER_CORE})
    python, sqs_port, bare_port = sys.executable, free_port(), free_port()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        redis = redis_server.prepare(folder, folder / "log")
        opened.enter_context(_process(OTHER_CORE, *redis.argv))
        opened.enter_context(_process(OTHER_CORE, python, "-m", "tests.support.instant_sqs", str(sqs_port)))
        await _listening(sqs_port)
        bare = opened.enter_context(_process(GATEWAY_CORE, python, "-m", "loadtest.bench.bare", str(bare_port)))
        await _listening(bare_port)
        serve = (python, "-m", "tests.support.gateway_rate", "serve", f"http://{HOST}:{sqs_port}", redis.url)
        process = opened.enter_context(_process(GATEWAY_CORE, *serve))
        assert process.stdout is not None
        port = int(await asyncio.to_thread(process.stdout.readline))
        tested, only = (process.pid, port), os.environ.get("ONLY", "")
        if only in ("", "batch"):
            await measured("batch", tested, Load(batch(keyed=False)), seconds, (BATCHES_AT_ONCE, LINES))
            await measured("batch, own ids", tested, Load(batch(keyed=True)), seconds, (BATCHES_AT_ONCE, LINES))
        if only in ("", "single"):
            yardstick = await measured("bare ASGI app", (bare.pid, bare_port), Load(post(keyed=False)), seconds, (POSTS_AT_ONCE, 1))
            for keyed in (False, True):
                name = "single posts, own ids" if keyed else "single posts"
                rate = await measured(name, tested, Load(post(keyed=keyed)), seconds, (POSTS_AT_ONCE, 1))
                print(f"{'':24s} {rate / yardstick:9.0%} of the bare app", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(_serve(*sys.argv[2:4]))
    else:
        uvloop.run(main(float(sys.argv[1]) if sys.argv[1:] else 6.0))
