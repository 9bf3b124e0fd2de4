"""How fast a rebuild reads, folds and loads: `python -m loadtest.rebuilding [--events N] [--segments N]`.

The store is a process with recorded pages that answers at once (`recorded_pages`); everything else is what `headrace rebuild rds` runs:
the client, the folding, COPY into a PostgreSQL of its own, and the indexes. One process; `cpu_us_per_event_beside` is what the store and
PostgreSQL took, their starts included. What is loaded is counted and summed up.
"""

import argparse
import asyncio
import os
import resource
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic, process_time
from typing import Final, NamedTuple

from sqlalchemy import func, select

from events.memory_store import MemoryStore
from events.scanning import Budget, open_pages
from headrace.errors import StackFailed
from headrace.local.ports import free_port
from headrace.local.servers import postgres
from headrace.rebuild.progress import telling
from loadtest.ground import Found, carried_out
from loadtest.recorded_pages import TEMPLATES, pages_of, templates
from readmodel.comments.tables import COMMENTS, PICTURES
from readmodel.control import READ_MODEL
from readmodel.database import REBUILDING, Database, database_errors, open_database
from readmodel.domains import registry
from readmodel.generations import new_generation
from readmodel.projecting import Projecting
from readmodel.rebuilding.building import Building
from readmodel.rebuilding.folding import Folder
from readmodel.rebuilding.loading import Loader
from readmodel.schema import migrate
from runtime.aws import open_aws
from runtime.settings import Settings

EVENTS: Final = 1_000_000
START_SECONDS: Final = 30.0


class Loaded(NamedTuple):
    """Comments, those not deleted, and what the pictures count."""

    comments: int
    left: int
    counted: int


def main() -> int:
    """Exit 1 when what was loaded is not what was recorded."""
    parser = argparse.ArgumentParser(prog="loadtest.rebuilding", description="how fast a rebuild reads, folds and loads")
    parser.add_argument("--events", type=int, default=EVENTS, metavar="N")
    parser.add_argument("--segments", type=int, default=4, metavar="N")
    arguments = parser.parse_args()
    os.environ.update(AWS_ACCESS_KEY_ID="recorded", AWS_SECRET_ACCESS_KEY="recorded")  # noqa: S106 - of no account
    return carried_out(
        "rebuilding",
        _measured(arguments.events, arguments.segments),
        lambda found: f"{found['events']:,} events: {found['events_per_s']:,.0f} a second, {found['cpu_us_per_event']:.1f} us of CPU each",
    )


async def _measured(events: int, segments: int) -> Found:
    with tempfile.TemporaryDirectory(prefix="rebuilding") as folder:
        async with postgres(Path(folder) / "postgres") as url, _recorded(events) as endpoint:
            settings = Settings(aws_endpoint_url=endpoint, database_url=url, stack="recorded")
            found = await _rebuilt(settings, events, segments)
    beside = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found | {"cpu_us_per_event_beside": round((beside.ru_utime + beside.ru_stime) / found["events"] * 1e6, 1)}


@asynccontextmanager
async def _recorded(events: int) -> AsyncIterator[str]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "loadtest.recorded_pages", str(port), str(events), stdout=PIPE)
    try:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        async with asyncio.timeout(START_SECONDS):
            if not await process.stdout.readline():
                raise StackFailed("the process with recorded pages did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


async def _rebuilt(settings: Settings, events: int, segments: int) -> Found:
    domains = registry(settings)
    await migrate(settings, domains)
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(open_aws(settings))
        pages = await open_pages(aws, settings)
        first = await stack.enter_async_context(open_database(settings, REBUILDING))
        generation = await new_generation(first.engine, READ_MODEL, domains)
        database = await stack.enter_async_context(open_database(settings, REBUILDING, generation))
        projecting = Projecting(database, domains, MemoryStore(), alone=True)
        building = Building(Folder(domains), Loader(database, domains), projecting, Budget(None))
        about = await pages.about()
        began, cpu = monotonic(), process_time()
        async with telling("scan", lambda: (building.built.commits, about, "commits")):
            await building.scan(pages, segments)
        seconds, cpu = monotonic() - began, process_time() - cpu
        built = building.built
        loaded = await _loaded(database)
    return {
        "events": built.events,
        "streams": built.streams,
        "odd": built.odd,
        "segments": segments,
        "seconds": round(seconds, 2),
        "events_per_s": round(built.events / seconds),
        "cpu_us_per_event": round(cpu / built.events * 1e6, 1),
        "read_units": round(built.units),
        "faults": _faults(loaded, events),
    }


async def _loaded(database: Database) -> Loaded:
    left = select(func.count()).where(~COMMENTS.c.deleted)
    with database_errors():
        async with database.engine.connect() as connection:
            return Loaded(
                (await connection.execute(select(func.count()).select_from(COMMENTS))).scalar_one(),
                (await connection.execute(left)).scalar_one(),
                int((await connection.execute(select(func.sum(PICTURES.c.comment_count)))).scalar_one()),
            )


def _faults(loaded: Loaded, events: int) -> list[str]:
    made = templates()
    pages = [made[page % TEMPLATES] for page in range(pages_of(events, made))]
    wanted = Loaded(sum(each.streams for each in pages), sum(each.left for each in pages), sum(each.left for each in pages))
    return [] if loaded == wanted else [f"loaded {loaded}, recorded {wanted}"]


if __name__ == "__main__":
    sys.exit(main())
