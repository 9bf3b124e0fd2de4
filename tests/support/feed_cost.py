"""What writing the feed of changes costs: `python -m tests.support.feed_cost`. The projector's CPU an event, and bytes in PostgreSQL.

Batches of 500 events go through `Projecting` into a PostgreSQL of this run's own, in turn with the feed and without it; the difference
of the medians is the feed's. One JSON line a kind of batch, and a line for people.
"""

import json
import secrets
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

import uvloop
from sqlalchemy import text

from events.envelope import Commit
from events.memory_store import MemoryStore
from headrace.local.servers import postgres
from readmodel.database import PROJECTING, Database, open_database
from readmodel.projecting import Projecting
from readmodel.schema import migrate
from runtime.settings import Settings
from tests.unit.readmodel.commits import REGISTRY, comment, history

EVENTS: Final = 500
ROUNDS: Final = 40
WARM: Final = 5
SIZE: Final = text("SELECT pg_total_relation_size('headrace.changes')")


def batch(each: int, round_: int) -> list[Commit]:
    """`each` events of a stream, one a commit."""
    streams = (comment(secrets.token_hex(8)) for _ in range(EVENTS // each))
    return [commit for stream in streams for commit in history(stream, f"p{round_}", updates=each - 1)]


async def measure(database: Database, each: int) -> dict[str, float]:
    """Microseconds of CPU an event, with and without."""
    kinds = {on: Projecting(database, REGISTRY, MemoryStore(), feed=on) for on in (True, False)}
    used: dict[bool, list[float]] = {True: [], False: []}
    for round_ in range(WARM + ROUNDS):
        for on, projecting in kinds.items():
            commits = batch(each, round_)
            began = time.process_time()
            await projecting.project(commits)
            if round_ >= WARM:
                used[on].append((time.process_time() - began) / EVENTS * 1e6)
    with_feed, without = median(used[True]), median(used[False])
    return {"events_a_stream": each, "with_us": with_feed, "without_us": without, "feed_us": with_feed - without}


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with postgres(Path(folder)) as url:
            settings = Settings(database_url=url)
            await migrate(settings, REGISTRY)
            async with open_database(settings, PROJECTING) as database:
                before = 0
                for each in (1, 5):
                    found = await measure(database, each)
                    async with database.engine.connect() as connection:
                        size = int((await connection.execute(SIZE)).scalar_one())
                    found["bytes_an_event"] = (size - before) / ((WARM + ROUNDS) * EVENTS)
                    before = size
                    print(json.dumps({name: round(value, 1) for name, value in found.items()}))
                    what = f"{found['feed_us']:.1f} us of CPU and {found['bytes_an_event']:.0f} bytes an event"
                    print(f"{each} events a stream: the feed costs {what}")


if __name__ == "__main__":
    uvloop.run(main())
