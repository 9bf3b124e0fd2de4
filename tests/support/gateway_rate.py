"""What one gateway takes on one core, with SQS out of the way: `python -m tests.support.gateway_rate [SECONDS [ROUNDS]]`.

The gateway is pinned to one core; the generator, an SQS that answers at once and Redis share the other. Everything in the gateway is
real, SQS client and Redis client included; only what reads need is missing. Beside it, the yardstick of single posts: the bare ASGI
application of loadtest.bench.bare, on the same core, with the same bodies. Machines are noisy: all measurements are made in turn,
SECONDS each, ROUNDS times over, a line each; in the end their medians, and those of single posts beside the bare app's of their round.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from typing import Final

import uvloop

from events.memory_store import MemoryStore
from events.outcome import outcomes_channel
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
from tests.support.closed_loop import LINES, Figures, Made, Server, batch, measured, post, rss
from tests.unit.gateway.fakes import REGISTRY, FakeReads

GATEWAY_CORE, OTHER_CORE = 0, 1
SECONDS, ROUNDS = 2.0, 4
BARE: Final = "bare ASGI app"
KINDS: Final[dict[str, tuple[Made, tuple[int, int]]]] = {
    BARE: (post(keyed=False), (512, 1)),
    "single posts": (post(keyed=False), (512, 1)),
    "single posts, own ids": (post(keyed=True), (512, 1)),
    "batch": (batch(keyed=False), (16, LINES)),
    "batch, own ids": (batch(keyed=True), (16, LINES)),
}
"""Requests, how many at once, and the commands of each."""


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
            RedisNotices(redis, outcomes_channel("rate")),
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
            process.communicate()  # it may still have something to say


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


async def main(seconds: float, rounds: int) -> None:
    """All of them; `ONLY=single` leaves batches out."""
    os.sched_setaffinity(0, {OTHER_CORE})
    kinds = [name for name in KINDS if not name.startswith("batch") or os.environ.get("ONLY") != "single"]
    found: dict[str, list[Figures]] = defaultdict(list)
    with ExitStack() as opened:
        bare, tested = await _servers(opened)
        for _ in range(rounds):
            for name in kinds:
                figures = await measured(bare if name == BARE else tested, KINDS[name][0], seconds, KINDS[name][1])
                found[name].append(figures)
                print(_line(name, figures), flush=True)
        print(f"\nmedians of {rounds} rounds; the gateway holds {rss(tested.pid):.0f} MB")
    for name, each in found.items():
        print(_line(name, Figures(*map(median, zip(*each, strict=True)))), _beside(each, found[BARE]))


def _line(name: str, figures: Figures) -> str:
    return (
        f"{name:22s} {figures.rate:9,.0f}/s  {figures.cpu:6.1f} us CPU each, core {figures.busy:4.0%} busy, "
        f"generator {figures.generator:4.0%}, refused {figures.refused:.0f}"
    )


def _beside(each: list[Figures], bare: list[Figures]) -> str:
    """Rates as parts of the bare app's in the same round, and the CPU of one: the steadier figure where others use the core too."""
    parts = [mine.rate / yours.rate for mine, yours in zip(each, bare, strict=True)]
    spent = median(yours.cpu / mine.cpu for mine, yours in zip(each, bare, strict=True))
    return f" {median(parts):.3f} of the bare app's rate ({' '.join(f'{part:.2f}' for part in parts)}), {spent:.3f} by CPU"


async def _servers(opened: ExitStack) -> tuple[Server, Server]:
    """The bare application and the gateway, running."""
    python, sqs_port, bare_port = sys.executable, free_port(), free_port()
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
    return Server(bare.pid, bare_port), Server(process.pid, port)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(_serve(*sys.argv[2:4]))
    else:
        uvloop.run(main(float(sys.argv[1]) if sys.argv[1:] else SECONDS, int(sys.argv[2]) if sys.argv[2:] else ROUNDS))
