"""From append to publish, and what an idle relay asks for: `python -m tests.support.relay_latency [SECONDS [RATE]]`.

A real relay on MiniStack and Redis. Appends come at RATE a second for SECONDS, then one every two seconds, each told to the relay as the
command worker tells it; then nothing for SECONDS; then the same appends with nobody telling, as when Redis is away. Prints the times
from an append's confirmation to SNS's, and the requests a second while idle. Appender and relay share a process, which adds to both.
"""

import asyncio
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from secrets import token_hex
from time import monotonic
from typing import Final

import uvloop

from events.deciding import decide
from events.dynamo_store import DynamoStore, open_store
from events.outcome import appended_channel
from headrace.local.servers import aws as aws_server
from headrace.local.servers import postgres, redis
from headrace.provision import provision
from runtime import logs
from runtime.aws import open_aws
from runtime.metrics import AWS_REQUESTS
from runtime.redis_client import open_redis
from runtime.settings import Settings
from runtime.stack import load_stack, table_name
from tests.support.said import REGISTRY, create, empty
from workers.lease import Leases
from workers.pacing import Pace
from workers.packing import Parcel, carried
from workers.publishing import Publisher, Topic
from workers.relay_fleet import Fleet
from workers.stream import EventStream
from workers.waking import Waker
from workers.walks import Walks

SECONDS: Final = 10.0
RATE: Final = 100.0
RARE: Final = 0.5
QUIET_SECONDS: Final = 10.0


class Timed(Topic):
    """Notes when SNS had each stream's first commit."""

    def __init__(self, inner: Topic) -> None:
        self._inner, self.published, self._more = inner, dict[str, float](), asyncio.Event()

    async def send(self, parcels: list[Parcel], seconds: float) -> list[Parcel]:
        left = await self._inner.send(parcels, seconds)
        for parcel in parcels:
            self.published |= {stream: monotonic() for stream, _ in carried(parcel)} if parcel not in left else {}
        self._more.set()
        return left

    async def has(self, streams: Iterable[str]) -> None:
        """Until all of these were published."""
        while not set(streams) <= self.published.keys():
            self._more.clear()
            await self._more.wait()


class Load:
    """Appends to one stack and waits for the publishes."""

    def __init__(self, store: DynamoStore, topic: Timed, tell: Callable[[], Awaitable[object]]) -> None:
        self._store, self._topic, self._tell = store, topic, tell

    async def run(self, rate: float, seconds: float, *, told: bool) -> None:
        appended: dict[str, float] = {}
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, begin + number / rate - loop.time()))
            ident = f"{token_hex(4)}-{number}"
            commit = decide(empty(f"comment-{ident}"), [create(ident)], REGISTRY).commit()
            await self._store.append([commit])
            appended[str(commit.stream)] = monotonic()
            if told:
                await self._tell()
        await self._topic.has(appended)
        took = sorted(max(0.0, self._topic.published[each] - at) * 1000 for each, at in appended.items())
        figures = ", ".join(f"p{p} {took[min(len(took) - 1, len(took) * p // 100)]:.0f} ms" for p in (50, 90, 99))
        say(f"{'told' if told else 'not told'}, {rate:g}/s: {figures}, most {took[-1]:.0f} ms")


async def measured(settings: Settings, seconds: float, rate: float) -> None:
    async with open_aws(settings) as aws, open_redis(settings) as client:
        facts, dynamodb = await load_stack(await aws.dynamodb(), settings), await aws.dynamodb()
        stream = EventStream(dynamodb, await aws.streams(), table_name(settings, "events"))
        control, topic = table_name(settings, "control"), Timed(Topic(await aws.sns(), facts.topic_arn))
        waker, stop = Waker(client, appended_channel(settings.stack)), asyncio.Event()
        leases = Leases(dynamodb, control, "me", settings.lease_seconds)
        fleet = Fleet(stream, leases, Publisher(topic), lambda: Pace(waker), Walks(dynamodb, control))
        load = Load(await open_store(aws, facts, settings), topic, lambda: client.publish(appended_channel(settings.stack), b"1"))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fleet.run(stop))
            listening = tasks.create_task(waker.listen(stop))
            for each in (rate, RARE):
                await load.run(each, seconds, told=True)
            await asyncio.sleep(QUIET_SECONDS)
            before = Counter(AWS_REQUESTS.counts)
            await asyncio.sleep(seconds)
            asked = Counter(AWS_REQUESTS.counts) - before
            calls = ", ".join(f"{call} {count / seconds:.2f}" for (_, call), count in asked.items())
            say(f"idle: {sum(asked.values()) / seconds:.2f} requests/s: {calls}")
            listening.cancel()
            waker.listening = False
            for each in (rate, RARE):
                await load.run(each, seconds, told=False)
            stop.set()


def say(words: str) -> None:
    print(words, flush=True)  # noqa: T201 - what it is for


async def main(seconds: float, rate: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with postgres(folder / "pg") as database, redis(folder / "redis") as cache, aws_server(folder / "aws", "ministack") as url:
            settings = Settings(aws_endpoint_url=url, database_url=database, redis_url=cache, stack="latency", state=str(folder))
            await provision(settings)
            await measured(settings, seconds, rate)


if __name__ == "__main__":
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")
    logs.configure("json", "relay")
    given = [float(each) for each in sys.argv[1:]]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*[*given, *(SECONDS, RATE)[len(given) :]]))
