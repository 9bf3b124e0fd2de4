"""What an audit takes: `python -m tests.support.audit_rate --comments 20000 200000`. Time, CPU and the most memory of its process.

The event store is one that answers at once (tests/support/recorded_store.py), so that what is measured is the audit. PostgreSQL is a
real one, and holds what the projections make of these events. `headrace audit --json` runs as a process of its own. A JSON line for
each number of comments, and a line for people.
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import asyncpg

from events.envelope import Commit
from headrace.local.servers import postgres, redis
from readmodel.canonical import expected, expected_row
from readmodel.comments.projection import PROJECTION
from readmodel.comments.tables import COMMENTS, PICTURES
from readmodel.control import CACHE, POSITIONS, schema_of
from readmodel.folding import summed
from readmodel.projection import POSITION_COLUMNS, Delta
from readmodel.schema import migrate
from runtime.settings import Settings
from tests.support.recorded_store import lives
from tests.unit.readmodel.commits import REGISTRY

BATCH: Final = 2_000
"""Streams."""


@asynccontextmanager
async def recorded(comments: int) -> AsyncIterator[str]:
    """The event store's URL."""
    words = ("-m", "tests.support.recorded_store", "--comments", str(comments))
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def fill(url: str, comments: int, seed: int = 7) -> None:
    """PostgreSQL as if all had been projected."""
    connection = await asyncpg.connect(url)
    deltas: list[Delta] = []
    every = lives(comments, seed)
    try:
        for table in (COMMENTS, PICTURES, POSITIONS):
            await connection.execute(f"TRUNCATE {schema_of(1)}.{table.name}")
        while batch := list(islice(every, BATCH)):
            await copy(connection, batch, deltas)
        sums = summed(deltas)[PICTURES]
        rows = [expected_row(PICTURES, key, add, sums.highest.get(key, {})) for key, add in sums.add.items()]
        await put(connection, PICTURES, rows)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


async def copy(connection: Any, batch: list[list[Commit]], deltas: list[Delta]) -> None:
    rows: list[dict[str, Any]] = []
    for life in batch:
        folded = expected(PROJECTION, REGISTRY, life[0].stream, life)
        assert folded.row is not None
        rows.append(dict(folded.row))
        deltas += folded.deltas
    await put(connection, COMMENTS, rows)
    await put(connection, POSITIONS, [{"projector": CACHE, **{name: row[name] for name in POSITION_COLUMNS}} for row in rows])


async def put(connection: Any, table: Any, rows: list[dict[str, Any]]) -> None:
    columns = table.columns.keys()
    values = [tuple(row[name] for name in columns) for row in rows]
    await connection.copy_records_to_table(table.name, records=values, columns=columns, schema_name=schema_of(1))


async def audited(environment: dict[str, str]) -> dict[str, Any]:
    """By the command, in a process of its own."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    words = ("-m", "headrace", "audit", "--json", "--settle", "5")
    process = await asyncio.create_subprocess_exec(sys.executable, *words, env={**os.environ, **environment}, stdout=PIPE)
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


async def measure(sizes: list[int]) -> bool:
    """Whether all were clean."""
    clean = True
    with TemporaryDirectory(prefix="headrace-audit-") as name:
        folder = Path(name)
        async with postgres(folder / "pg") as database, redis(folder / "redis") as cache:
            await migrate(Settings(database_url=database), REGISTRY)
            for size in sorted(sizes):
                await fill(database, size)
                async with recorded(size) as store:
                    environment = {
                        "AWS_ACCESS_KEY_ID": "test",
                        "AWS_SECRET_ACCESS_KEY": "test",
                        "AWS_ENDPOINT_URL": store,
                        "HEADRACE_DATABASE_URL": database,
                        "HEADRACE_REDIS_URL": cache,
                        "HEADRACE_STATE": str(folder),
                    }
                    found = await audited(environment)
                clean = clean and found["ok"]
                sys.stdout.write(f"{json.dumps({'comments': size, **found})}\n")
                sys.stdout.flush()
                sys.stderr.write(
                    f"{size:,} comments, {found['events']:,} events: {found['seconds']} s, {found['cpu_s']} s of CPU,"
                    f" {found['peak_rss_mb']} MB at most\n"
                )
    return clean


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.audit_rate", description=__doc__)
    parser.add_argument("--comments", type=int, nargs="+", default=[20_000, 200_000])
    return 0 if asyncio.run(measure(parser.parse_args().comments)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
