"""What an audit takes: `python -m tests.support.audit_rate --comments 20000 200000`. Time, CPU and the most memory of its process.

Comments with random updates and deletes are stored and projected by the code that does it in a running stack, on servers of their
own. Then `headrace audit --json` runs as a process of its own. A JSON line for each number of comments, and a line for people.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from msgspec import Struct

from events.comments.events import CommentCreated, CommentDeleted, CommentUpdated
from events.dynamo_store import DynamoStore, open_store
from events.envelope import Commit
from events.store import Appended
from headrace.local.servers import aws, postgres, redis
from headrace.provision import provision
from readmodel.cache import Cache
from readmodel.database import PROJECTING, open_database
from readmodel.projecting import Projecting
from readmodel.refreshing import Refresher
from runtime.aws import open_aws
from runtime.redis_client import open_redis
from runtime.settings import Settings
from runtime.stack import load_stack
from tests.unit.readmodel.commits import REGISTRY, chain, comment

BATCH: Final = 1_000
"""Streams."""
PICTURES: Final = 5_000
TEXT: Final = "as long as what people write under a picture, more or less "


def lives(numbers: range, seed: int) -> Iterator[list[Commit]]:
    """Each stream's commits."""
    for number in numbers:
        chance = random.Random(f"{seed}:{number}")
        events: list[Struct] = [CommentCreated(f"p{chance.randrange(PICTURES)}", f"author{chance.randrange(100)}", TEXT)]
        while chance.random() < 0.3:
            events.append(CommentUpdated(f"{TEXT}{len(events)}"))
        if chance.random() < 0.1:
            events.append(CommentDeleted())
        yield chain(comment(number), events, chance.choice((1, 1, 2)))


async def fill(settings: Settings, numbers: range, seed: int) -> int:
    """Stored and projected; how many events."""
    events = 0
    async with AsyncExitStack() as opened:
        clients = await opened.enter_async_context(open_aws(settings))
        store = await open_store(clients, await load_stack(await clients.dynamodb(), settings), settings)
        database = await opened.enter_async_context(open_database(settings, PROJECTING))
        client = await opened.enter_async_context(open_redis(settings))
        refresher = Refresher(database, Cache(client, settings.stack, database.generation, seconds=5.0), REGISTRY)
        projecting = Projecting(database, REGISTRY, store)
        for start in range(numbers.start, numbers.stop, BATCH):
            batch = list(lives(range(start, min(start + BATCH, numbers.stop)), seed))
            commits = [each for life in batch for each in life]
            await stored(store, commits)
            await projecting.project(commits)
            await refresher.refresh(await refresher.reached([life[0].stream for life in batch]))
            events += sum(life[-1].last for life in batch)
            sys.stderr.write(f"\r{start + BATCH:,} comments stored and projected")
    sys.stderr.write("\n")
    return events


async def stored(store: DynamoStore, commits: list[Commit]) -> None:
    answers = await store.append(commits)
    left = [each for each, answer in zip(commits, answers, strict=True) if answer is not Appended.YES]
    if left:
        sys.exit(f"{len(left)} commits were not appended")


async def audited(settings: Settings, folder: Path) -> dict[str, Any]:
    """By the command, in a process of its own."""
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": str(settings.aws_endpoint_url),
        "HEADRACE_DATABASE_URL": settings.database_url,
        "HEADRACE_REDIS_URL": settings.redis_url,
        "HEADRACE_STACK": settings.stack,
        "HEADRACE_STATE": str(folder),
    }
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    words = ("-m", "headrace", "audit", "--json", "--settle", "5")
    process = await asyncio.create_subprocess_exec(sys.executable, *words, env=environment, stdout=asyncio.subprocess.PIPE)
    out, peak = await asyncio.gather(process.communicate(), highest(process))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(out[0])
    seconds, cpu = time.monotonic() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "ok": found["ok"],
        "streams": found["streams"],
        "events": found["events"],
        "seconds": round(seconds, 1),
        "cpu_s": round(cpu, 1),
        "events_per_cpu_s": round(found["events"] / cpu),
        "events_per_s": round(found["events"] / seconds),
        "peak_rss_mb": round(peak / 1024),
    }


async def highest(process: asyncio.subprocess.Process) -> int:
    """KiB of memory, looked at until the process ends."""
    peak = 0
    while process.returncode is None:
        try:
            status = await asyncio.to_thread(Path(f"/proc/{process.pid}/status").read_text)
        except (FileNotFoundError, ProcessLookupError):
            break
        peak = max([peak, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
        await asyncio.sleep(0.05)  # a look, not a wait
    return peak


async def measure(sizes: list[int], seed: int) -> None:
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")
    with TemporaryDirectory(prefix="headrace-audit-") as name:
        folder = Path(name)
        async with postgres(folder / "pg") as database, redis(folder / "redis") as cache, aws(folder / "aws") as endpoint:
            settings = Settings(aws_endpoint_url=endpoint, database_url=database, redis_url=cache, stack="rate")
            await provision(settings)
            done = 0
            for size in sorted(sizes):
                await fill(settings, range(done, size), seed)
                done = size
                found = await audited(settings, folder)
                sys.stdout.write(f"{json.dumps({'comments': size, **found})}\n")
                sys.stdout.flush()
                sys.stderr.write(
                    f"{size:,} comments, {found['events']:,} events: {found['seconds']} s, {found['cpu_s']} s of CPU,"
                    f" {found['peak_rss_mb']} MB at most\n"
                )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.audit_rate", description=__doc__)
    parser.add_argument("--comments", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    asyncio.run(measure(given.comments, given.seed))


if __name__ == "__main__":
    main()
