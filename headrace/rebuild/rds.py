"""A new generation of the read model beside the old one, step by step; the old one serves until the last of them.

Interrupted anywhere, the old one still serves. What then is left, of the database and of AWS, the next start finds and removes; an
orderly end removes it at once.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

from msgspec import Struct

from events.scanning import Budget
from headrace.errors import WrongUse
from headrace.rebuild.alone import Alone
from headrace.rebuild.ground import Ground
from headrace.rebuild.levelling import even, level, settled
from headrace.rebuild.progress import say, telling
from headrace.rebuild.switching import acceptable, same_parks, switch
from headrace.rebuild.tail import Tail
from headrace.rebuild.warm import warm_beside
from readmodel.control import READ_MODEL
from readmodel.database import REBUILDING, Database, open_database
from readmodel.feeding import read_fed
from readmodel.generations import beside, drop, feed, feed_not, leftovers, new_generation
from readmodel.hashing import TableDigest
from readmodel.projecting import Projecting
from readmodel.rebuilding.building import Building, Built
from readmodel.rebuilding.comparing import Compared, Pair, strange_tables, totals
from readmodel.rebuilding.folding import Folder
from readmodel.rebuilding.loading import Loader
from runtime.errors import HeadraceError

TAIL_SECONDS: Final = 600.0
"""For the own queue to be nearly empty; then live projectors take over what is left, at the price of more reading."""
DRAIN_SECONDS: Final = 120.0
"""For it to be empty; what it has after that the old generation has, too, and is counted."""
CLEANING_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Options:
    """`read_units`: a second, of the scan; None: as many as it takes. `settle`: seconds for the two generations to become the same."""

    read_units: float | None
    segments: int
    settle: float
    accept_differences: bool = False


class Comparison(Struct, frozen=True):
    """Of `Report`; see readmodel.rebuilding.comparing.Compared."""

    rows: dict[str, int]
    digests: dict[str, str]
    differences: list[str]
    only_new: list[str]


class Report(Struct, frozen=True):
    """The object of `headrace rebuild rds --json`. `streams` and `events`: in the new generation once it was level; `events_per_s`: of the
    scan, indexes included; `tail`: commits that came meanwhile."""

    generation: int
    instead_of: int
    streams: int
    events: int
    seconds: float
    events_per_s: float
    tail: int
    compared: Comparison
    switched: bool


async def rebuild(ground: Ground, held: Alone, options: Options) -> Report:
    """Raises WrongUse while another generation is kept beside; Retryable or Fatal with everything as it was."""
    await _clean(ground)
    if any(each.complete for each in await beside(ground.engine, READ_MODEL)):
        raise WrongUse("the generation before this one is still kept: `headrace rebuild rds --drop-old` first")
    began = monotonic()
    old = (await read_fed(ground.engine)).current
    strange = await strange_tables(ground.engine, ground.domains, old)
    if strange and not options.accept_differences:
        raise WrongUse(f"generation {old} has tables of a domain that HEADRACE_DOMAIN does not name here: {', '.join(strange)}")
    async with _new(ground) as new, open_database(ground.settings, REBUILDING, new) as database:
        pair = Pair(old, new)
        say(f"generation {new} beside {old}")
        projecting = Projecting(database, ground.domains, ground.store, alone=True)
        queue = await ground.subscribe(new)
        built, seconds = await _scan(ground, database, projecting, options)
        tail = Tail(queue, projecting)
        async with tail.running(), telling("tail", lambda: (tail.commits, 0, "commits")):
            await tail.silent(1, TAIL_SECONDS)
            await held.check()
            await feed(ground.engine, READ_MODEL, new)
            await tail.silent(3, DRAIN_SECONDS)
        await ground.unsubscribe()
        await level(ground, projecting, pair)
        streams, events = await totals(ground.engine, ground.domains, new)
        compared = await settled(ground, pair, options.settle)
        switched = acceptable(compared.differences, pair, accept=options.accept_differences)
        if switched:
            await even(ground.engine, pair)
            await warm_beside(ground.settings, database, pair.new)
            await held.check()
            await switch(ground.engine, READ_MODEL, pair, same_parks(pair, accept=options.accept_differences))
    return Report(
        generation=new,
        instead_of=old,
        streams=streams,
        events=events,
        seconds=round(monotonic() - began, 3),
        events_per_s=round(built.events / seconds, 1),
        tail=tail.commits,
        compared=_told(compared),
        switched=switched,
    )


async def _scan(ground: Ground, database: Database, projecting: Projecting, options: Options) -> tuple[Built, float]:
    building = Building(Folder(ground.domains), Loader(database, ground.domains), projecting, Budget(options.read_units))
    about = await ground.pages.about()
    began = monotonic()
    async with telling("scan", lambda: (building.built.commits, about, "commits")):
        await building.scan(ground.pages, options.segments)
    return building.built, monotonic() - began


@asynccontextmanager
async def _new(ground: Ground) -> AsyncIterator[int]:
    """A generation that is gone again unless it was flipped to."""
    try:
        yield await new_generation(ground.engine, READ_MODEL, ground.domains)
    finally:
        try:
            async with asyncio.timeout(CLEANING_SECONDS):
                await _clean(ground)
        except (HeadraceError, TimeoutError) as wrong:
            say(f"something is left, and the next start removes it: {type(wrong).__name__}: {wrong}")


async def _clean(ground: Ground) -> None:
    """What an end in the middle leaves: queues, generations that are fed and not complete, and tables of generations that are not fed."""
    await ground.unsubscribe()
    for each in await beside(ground.engine, READ_MODEL):
        if not each.complete:
            await feed_not(ground.engine, READ_MODEL, each.generation)
    for generation in await leftovers(ground.engine):
        await drop(ground.engine, generation)


def _told(compared: Compared) -> Comparison:
    tables: dict[str, TableDigest] = compared.tables
    return Comparison(
        {name: each.rows for name, each in sorted(tables.items())},
        {name: each.digest for name, each in sorted(tables.items())},
        compared.differences,
        compared.only_new,
    )
