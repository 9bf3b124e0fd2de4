"""Fills against refreshes: `python -m tests.support.racing --reads 1000000 [--seed N] [--fault plain|versioned]`.

A real PostgreSQL and Redis, both projectors and several gateways' reads as the roles put them together, in one process. Between a
gateway's read of PostgreSQL and its fill lie 0 to 50 ms, of one in five a change too; between the projector's read and its refresh
0 to 20. All the time comments are updated, deleted and created, keys and leases evicted one by one, Redis flushed, its scripts
forgotten. A read is stale when it answers with less than both projectors had passed when it began, from whatever tier. Exit 1 when
one was, or when hardly a fill was refused: then nothing was put to the test.

`--fault` breaks the cache on purpose, to see that this finds it, and ends with the first stale read: fills by a plain SET, or by a
compare-and-set of versions without a lease.
"""

import argparse
import asyncio
import json
import logging
import random
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import structlog
import uvloop
from msgspec import Struct

from events.comments.events import CommentCreated, CommentDeleted, CommentUpdated
from events.ids import StreamId
from headrace.local.servers import postgres, redis
from readmodel.cache import FAILURES
from readmodel.comments.cached import comment_key, newest_key, picture_key
from readmodel.errors import ReadsUnavailable
from readmodel.pages import Page
from readmodel.reads import Reads
from readmodel.schema import migrate
from runtime.errors import Retryable
from runtime.lifecycle import ended
from runtime.settings import Settings
from tests.support.read_side import GATEWAYS, House, opened
from tests.unit.readmodel.commits import REGISTRY, commit, delivery

READERS, WRITERS = 8, 3
"""Of each gateway; of all."""
PICTURES, COMMENTS = 3, 4


class Race:
    """What both projectors have passed, and who reads less than that."""

    def __init__(self, house: House, dice: random.Random, reads: int) -> None:
        self._house, self._dice, self._left = house, dice, reads
        self._names = (f"r{number}" for number in range(10**9))
        self.passed: dict[StreamId, int] = {}
        self._applied: Counter[str] = Counter()
        """Changes of each picture that PostgreSQL surely has."""
        self.shown: Counter[str] = Counter()
        """... and the cache has surely passed."""
        self.alive: list[list[tuple[StreamId, str]]] = [[] for _ in range(WRITERS)]
        self.counts: Counter[str] = Counter()
        self.stale: list[str] = []

    async def run(self) -> None:
        """Until all reads are done."""
        for lane in range(WRITERS):
            for picture in range(PICTURES * COMMENTS // WRITERS):
                await self._create(lane, f"p{(lane + picture) % PICTURES}")
        async with asyncio.TaskGroup() as readers, _beside(self._writer(lane) for lane in range(WRITERS)), _beside([self._fate()]):
            tasks = [readers.create_task(self._reader(number)) for number in range(GATEWAYS * READERS)]
            await asyncio.wait(tasks)

    async def _reader(self, number: int) -> None:
        reads = self._house.gateways[number % GATEWAYS]
        while self._left > 0 and not (self.stale and self._house.broken):
            try:
                await self._one_read(reads)
            except ReadsUnavailable:  # a busy machine
                self.counts["unavailable"] += 1
            else:
                self._left -= 1

    async def _one_read(self, reads: Reads) -> None:
        stream, picture = self._dice.choice(self._dice.choice(self.alive))
        way = self._dice.random()
        if way < 0.5:
            least = self.passed[stream]
            found: Any = await reads.comment(stream.removeprefix("comment-"))
            self._judge(stream, found.source, found.version, least)
        elif way < 0.7:
            least = self.shown[picture]
            found = await reads.picture(picture)
            self._judge(picture, found.source, found.version, least)
        else:
            least, own = self.shown[picture], self.passed[stream]
            found = await reads.comments(picture, Page(100))
            self._judge(f"list of {picture}", found.source, found.version, least)
            listed = [each.version for each in found.value.comments if f"comment-{each.comment_id}" == stream]
            self._judge(f"{stream} in the list of {picture}", found.source, min(listed, default=own), own)

    def _judge(self, what: str, source: str, version: int | None, least: int) -> None:
        self.counts[source] += 1
        if (version or 0) < least:
            self.stale.append(f"{what} from {source}: {version}, {least} had been passed")

    async def _writer(self, lane: int) -> None:
        while True:
            place = self._dice.randrange(len(self.alive[lane]))
            stream, picture = self.alive[lane][place]
            if self._dice.random() < 0.05:
                await self._change(stream, picture, CommentDeleted())
                del self.alive[lane][place]
                await self._create(lane, picture)
            else:
                await self._change(stream, picture, CommentUpdated(f"{self.passed[stream]}"))
            await asyncio.sleep(self._dice.random() * 0.02)

    async def _create(self, lane: int, picture: str) -> None:
        stream = StreamId(f"comment-{next(self._names)}")
        self.passed[stream] = 0
        await self._change(stream, picture, CommentCreated(picture, "ann", "first"))
        self.alive[lane].append((stream, picture))

    async def _change(self, stream: StreamId, picture: str, happened: Struct) -> None:
        version = self.passed[stream] + 1
        change = commit(stream, version, version - 1, happened)
        await self._house.store.append([change])
        while True:
            try:
                await self._house.rds.handle([delivery(change)])
                break
            except Retryable:  # a busy machine: as the consumer loop does
                self.counts["tried_again"] += 1
        self._applied[picture] += 1
        applied = self._applied[picture]
        handled = await self._house.cache.handle([delivery(change)])
        if not handled.done:
            self.counts["not_followed"] += 1
            return
        self.passed[stream] = version
        self.shown[picture] = max(self.shown[picture], applied)
        self.counts["changes"] += 1
        if self._dice.random() < 0.3:  # evicted just after: the moment at which an older fill finds nothing newer
            await self._evict(*self._keys(stream, picture))
        self._house.passing.tell()

    def _keys(self, stream: StreamId, picture: str) -> list[str]:
        prefix = self._house.prefix
        return [comment_key(prefix, stream), picture_key(prefix, picture), newest_key(prefix, picture)]

    async def _evict(self, *keys: str) -> None:
        with suppress(*FAILURES):  # it may be carried out all the same, later
            await self._house.client.unlink(*keys)
            self.counts["evictions"] += 1

    async def _fate(self) -> None:
        """Evictions, of leases too; flushes; scripts forgotten."""
        flush = monotonic()
        while True:
            await asyncio.sleep(self._dice.random() * 0.01)
            key = self._dice.choice(self._keys(*self._dice.choice(self._dice.choice(self.alive))))
            await self._evict(self._dice.choice([key, key, f"{key}:lease"]))
            if monotonic() >= flush:
                client = self._house.client
                with suppress(*FAILURES):
                    await (client.flushall() if self._dice.random() < 0.5 else client.script_flush())
                    self.counts["flushes"] += 1
                flush = monotonic() + self._dice.random()

    def told(self) -> dict[str, Any]:
        """For a line of JSON."""
        fills: Counter[str] = Counter()
        for each in self._house.caches:
            fills.update(each.fills)
        reads = self.counts["cache"] + self.counts["database"]
        return {"judged": reads, "stale": len(self.stale), **self.counts, "fills": dict(fills), "examples": self.stale[:5]}


@asynccontextmanager
async def _beside(work: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            await ended(task)
        for task in tasks:
            if not task.cancelled():
                task.result()  # it broke


async def raced(settings: Settings, reads: int, seed: int, fault: str = "") -> dict[str, Any]:
    """On a migrated database of its own and a Redis that may be flushed."""
    dice, began = random.Random(seed), monotonic()
    async with opened(settings, dice, fault) as house:
        race = Race(house, dice, reads)
        await race.run()
    seconds = monotonic() - began
    return {"seed": seed, "reads": reads, **race.told(), "seconds": round(seconds, 1), "reads_per_s": round(reads / seconds)}


async def _alone(reads: int, seed: int, fault: str) -> int:
    """With servers of its own."""
    with tempfile.TemporaryDirectory() as folder:
        async with postgres(Path(folder, "postgres")) as database_url, redis(Path(folder, "redis")) as redis_url:
            settings = Settings(database_url=database_url, redis_url=redis_url, stack="race")
            await migrate(settings, REGISTRY)
            found = await raced(settings, reads, seed, fault)
    sys.stdout.write(json.dumps(found) + "\n")
    return 1 if found["stale"] or found["fills"].get("refused", 0) < reads // 10_000 else 0


def main() -> int:
    """Exit 1 for a stale read, or a race that was none."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.racing", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--reads", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--fault", choices=["plain", "versioned"], default="")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    sys.stderr.write(f"seed {given.seed}\n")
    return uvloop.run(_alone(given.reads, given.seed, given.fault))


if __name__ == "__main__":
    raise SystemExit(main())
