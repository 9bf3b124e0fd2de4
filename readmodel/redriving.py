"""Letting parked streams go: what the store holds of them is applied in order, the park ends with it, and Redis follows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import delete, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from events.ids import StreamId
from readmodel.control import PARKED
from readmodel.database import database_errors
from readmodel.parking import Parked, Which, list_parked
from readmodel.planning import Fault
from readmodel.projecting import Projecting
from readmodel.projection import Projection
from readmodel.refreshing import Refresher


@dataclass(slots=True)
class Redriven:
    """What became of parks."""

    ended: list[Parked] = field(default_factory=list)
    again: list[tuple[str, StreamId, Fault]] = field(default_factory=list)
    """(projection, stream, what stands in the way): parked once more, or for the first time."""
    advanced: dict[StreamId, int] = field(default_factory=dict)


async def redrive(engine: AsyncEngine, projecting: Projecting, parks: Sequence[Parked]) -> Redriven:
    """`parks`: of the one generation that `projecting` writes to. Raises Retryable, with every park either ended or still there.

    Somebody must still `refresh` Redis: the cache projector has long passed these commits.
    """
    wanted, obsolete = await _wanted(engine, projecting, parks)
    applied = await projecting.redrive(wanted)
    again = [(unit.projection.name, unit.stream, fault) for unit, fault in applied.parked]
    stuck = {stream for _, stream, _ in again}
    await _forget(engine, [park for park in obsolete if park.stream not in stuck])
    faulty = {(name, stream) for name, stream, _ in again}
    ended = [p for p in parks if (p.projector, p.stream) not in faulty and not (p in obsolete and p.stream in stuck)]
    return Redriven(ended, again, applied.advanced)


async def refresh(refresher: Refresher, streams: Iterable[StreamId]) -> None:
    """Redis no older than PostgreSQL. Raises Retryable; repeating it does no harm."""
    wanted = sorted(set(streams))
    if wanted:
        await refresher.refresh(await refresher.reached(wanted))


async def _wanted(
    engine: AsyncEngine, projecting: Projecting, parks: Sequence[Parked]
) -> tuple[list[tuple[StreamId, Projection]], list[Parked]]:
    """(what to redrive, parks of projections that these streams no longer have).

    The latter are what is left of a domain that was not known, or of a projection that was taken out: today's projections of such a
    stream are brought to its head, and then nothing is left to stand still.
    """
    names: dict[StreamId, set[str]] = {}
    for park in parks:
        names.setdefault(park.stream, set()).add(park.projector)
    today = {stream: {each.name: each for each in projecting.concerned(stream)} for stream in names}
    obsolete = [park for park in parks if park.projector not in today[park.stream]]
    for stream in {park.stream for park in obsolete}:
        others = await list_parked(engine, which=Which(streams=[stream]), fed=True)
        names[stream] |= today[stream].keys() - {park.projector for park in others if park.generation == parks[0].generation}
    return [(stream, today[stream][name]) for stream, wanted in names.items() for name in wanted if name in today[stream]], obsolete


async def _forget(engine: AsyncEngine, parks: Sequence[Parked]) -> None:
    if not parks:
        return
    keys = [(park.generation, park.projector, park.stream) for park in parks]
    with database_errors():
        async with engine.begin() as connection:
            await connection.execute(delete(PARKED).where(tuple_(PARKED.c.generation, PARKED.c.projector, PARKED.c.stream).in_(keys)))
