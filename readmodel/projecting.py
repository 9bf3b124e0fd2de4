"""Batches of commits until they are in PostgreSQL: holes filled from the store, conflicts tried again, poison cut out.

Only the data's own faults park: SQLSTATE classes 22 and 23 (and 54000, a key too large), found by halving the batch until one
stream, then one commit, is left; a projection's exception; an event that cannot be read. Everything else is retryable and leaves the
batch to come again.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from events.domain import Registry
from events.envelope import Commit
from events.ids import StreamId, Version
from events.parcel import Stub
from events.store import EventStore
from readmodel.applying import Applied, Applier, Effect
from readmodel.database import Database
from readmodel.domains import projections_of
from readmodel.errors import DatabaseConflict, StillMoving, UnstorableData
from readmodel.feed_writing import FeedWriter
from readmodel.planning import Fault, Unit, filled, merged, parts, units_of
from readmodel.projection import Projection
from readmodel.verdicts import Position
from runtime.lifecycle import backoff
from runtime.metrics import CONFLICTS

FETCHES_AT_ONCE: Final = 8
CONFLICT_ATTEMPTS: Final = 6
MOST_PASSES: Final = 50
"""Of the store, for what comes while a parked stream is redriven; everything else needs one."""


@dataclass(frozen=True, slots=True)
class Duty:
    """What a projector of another kind does instead: one projection for all streams, with an effect outside PostgreSQL.

    The effect has a time limit, so a transaction has at most `most` events (one commit more, where one commit is more).
    """

    projection: Projection
    effect: Effect
    most: int


class Projecting:
    """What the projectors "rds" and "amqp" do with a batch, and what redrive and catch-up do with streams."""

    def __init__(  # noqa: PLR0913 - the last two tell apart who applies
        self,
        database: Database,
        registry: Registry,
        store: EventStore,
        duty: Duty | None = None,
        *,
        alone: bool = False,
        feed: bool = True,
    ) -> None:
        """`alone`: in the database's own generation, not in those that are fed. `feed`: what is applied to the current one is told in
        the feed of changes; of a duty nothing is."""
        self._registry, self._store, self._duty = registry, store, duty
        told = FeedWriter(registry) if feed and duty is None and not alone else None
        self._applier = Applier(database, registry, duty.effect if duty else None, told, alone=alone)
        self._fetching = asyncio.Semaphore(FETCHES_AT_ONCE)

    async def project(self, commits: Iterable[Commit], stubs: Iterable[Stub] = ()) -> Applied:
        """Durable when this returns: applied, known before, or parked with a reason. Raises Retryable."""
        return await self._complete(units_of(commits, stubs, self._projections()))

    def _projections(self) -> Callable[[StreamId], Sequence[Projection]]:
        duty = self._duty
        return (lambda stream: projections_of(self._registry, stream)) if duty is None else (lambda _: (duty.projection,))

    async def redrive(self, wanted: Iterable[tuple[StreamId, Projection]]) -> Applied:
        """Apply what the store holds of parked streams, the park ending with the last of it, in the same transaction.

        Who dies in between leaves them parked. A stream that still cannot be applied stays so, with its reason, in `parked`. One
        that is not parked is brought to its head. Raises Retryable; repeating it does no harm.
        """
        units = [Unit(projection, stream, [], Version(0), goal=Version(0)) for stream, projection in wanted]
        return await self._complete(sorted(units, key=lambda unit: (unit.projection.name, unit.stream)))

    def concerned(self, stream: StreamId) -> Sequence[Projection]:
        """Whose units a commit of this stream makes."""
        return self._projections()(stream)

    async def catch_up(self, streams: Iterable[StreamId]) -> Applied:
        """Apply what the store holds beyond the positions of these streams; for redrive and for what never arrived."""
        heads = {stream: await self._store.last_version(stream) for stream in streams}
        stubs = [Stub(stream, head, head) for stream, head in heads.items() if head > 0]
        return await self.project((), stubs)

    async def _complete(self, units: Sequence[Unit]) -> Applied:
        done = await self._in_parts(units)
        passes = 0
        while done.missing:
            passes += 1
            if passes > MOST_PASSES:
                raise StillMoving(f"{len(done.missing)} streams are written faster than they can be redriven")
            missing, done.missing = merged(done.missing), []
            fetched = await asyncio.gather(*(self._fetch(unit, position) for unit, position in missing))
            done.add(await self._in_parts(fetched))
        return done

    async def _in_parts(self, units: Sequence[Unit]) -> Applied:
        if self._duty is None:
            return await self._apply(units)
        done = Applied()
        for part in parts(units, self._duty.most):
            done.add(await self._apply(part))
        return done

    async def _fetch(self, unit: Unit, position: Position) -> Unit:
        """What is redriven is read from the commit on that its position ends with: that one must be the store's too."""
        after = position.version if unit.goal is None else Version(max(position.commit_first, 1) - 1)
        async with self._fetching:
            return filled(unit, await self._store.load(unit.stream, after))

    async def _apply(self, units: Sequence[Unit]) -> Applied:
        if not units:
            return Applied()
        try:
            return await self._patiently(units)
        except UnstorableData:
            return await self._bisected(units)

    async def _patiently(self, units: Sequence[Unit]) -> Applied:
        for attempt in range(1, CONFLICT_ATTEMPTS):
            try:
                return await self._applier.apply(units)
            except DatabaseConflict:
                CONFLICTS.inc()
                await asyncio.sleep(backoff(attempt, random.random(), first=0.01, most=0.5))  # noqa: S311 - jitter
        return await self._applier.apply(units)

    async def _bisected(self, units: Sequence[Unit]) -> Applied:
        """One by one in the end: first half before second, so a stream's commits keep their order."""
        halves = _halves(units)
        if halves is None:
            unit = units[0]
            first = unit.commits[0].commit.first if unit.commits else Version(unit.until)
            return await self._applier.apply_or_park(unit, lambda refused: Fault("unstorable", str(refused), first))
        done = await self._apply(halves[0])
        done.add(await self._apply(halves[1]))
        return done


def _halves(units: Sequence[Unit]) -> tuple[list[Unit], list[Unit]] | None:
    """None when there is nothing left to halve: one stream with at most one commit."""
    if len(units) > 1:
        middle = len(units) // 2
        return list(units[:middle]), list(units[middle:])
    unit = units[0]
    if len(unit.commits) < 2:
        return None
    middle = len(unit.commits) // 2
    earlier, later = unit.commits[:middle], unit.commits[middle:]
    until = Version(max(each.commit.last for each in earlier))
    return [replace(unit, commits=earlier, until=until, final=False)], [replace(unit, commits=later, later=True)]
