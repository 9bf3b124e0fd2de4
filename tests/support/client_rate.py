"""What the Python client costs its caller: `python -m tests.support.client_rate`. CPU a post, and a command of a batch.

A scripted gateway (tests/support/scripted_gateway.py) answers at once in a process of its own, whose CPU is not counted; the client runs
on uvloop. Batches are given a plain list and an asynchronous generator. One JSON line of medians over the rounds, and a line for people.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Final

import uvloop

from gateway.client import Client, Command
from tests.support.scripted_gateway import Asked, receipt, scripted

AT_ONCE: Final = 32
WARM: Final = 500
DATA: Final = {"picture_id": "p1", "text": "x" * 200}


async def serve() -> None:
    """Until stdin ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with scripted() as gateway:

        def forgetful(asked: Asked) -> bytes:
            gateway.asked.clear()
            return receipt(asked)

        gateway.always = forgetful
        sys.stdout.write(f"{gateway.url}\n")
        sys.stdout.flush()
        await reader.read()


@contextmanager
def gateway_apart() -> Iterator[str]:
    """Its URL."""
    words = (sys.executable, "-m", "tests.support.client_rate", "--serve")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def posts(client: Client, count: int) -> float:
    """Microseconds of CPU a post."""
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await client.post("comment.create", DATA)

    before = time.process_time()
    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return (time.process_time() - before) / count * 1e6


async def batch(client: Client, commands: Iterable[Command] | AsyncIterator[Command], count: int) -> float:
    """Microseconds of CPU a command."""
    before, told = time.process_time(), 0
    async for _ in client.batch(commands):
        told += 1
    assert told == count
    return (time.process_time() - before) / count * 1e6


async def _generated(commands: Iterable[Command]) -> AsyncIterator[Command]:
    for command in commands:
        yield command


async def measure(url: str, count: int, rounds: int) -> dict[str, float]:
    """All three; ten commands of a batch for each single post."""
    commands = [Command("comment.create", DATA) for _ in range(count * 10)]
    async with Client(url) as client:
        await posts(client, WARM)
        turns = [
            (
                await posts(client, count),
                await batch(client, commands, len(commands)),
                await batch(client, _generated(commands), len(commands)),
            )
            for _ in range(rounds)
        ]
    names = ("post_us", "batch_us", "batch_of_an_asynchronous_generator_us")
    return {name: round(median(turn[place] for turn in turns), 2) for place, name in enumerate(names)}


def main() -> None:
    """Prints."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.client_rate", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="be the gateway")
    parser.add_argument("--posts", type=int, default=5000, help="of each round (5000)")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if given.serve:
        uvloop.run(serve())
        return
    with gateway_apart() as url:
        found = uvloop.run(measure(url, given.posts, given.rounds))
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stderr.write(
        f"{found['post_us']} us of CPU a post; {found['batch_us']} us a command of a plain iterable,"
        f" {found['batch_of_an_asynchronous_generator_us']} us of an asynchronous generator\n"
    )


if __name__ == "__main__":
    main()
