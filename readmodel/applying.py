"""A batch of units into PostgreSQL: one transaction, exactly once, whoever else does the same at the same time.

In the transaction: advisory locks on the (projection, stream bucket) pairs in one statement in order (a new stream has no row
to lock), then positions and home rows, then the verdicts: what is judged under the locks needs no second look. A hole found
there costs nothing but its own unit: the others are committed, and the unit comes again with the store's commits. So nothing is
ever fetched while locks are held, and no reader or other projector waits for DynamoDB.

While two generations are fed, the same transaction goes to both. So they differ only in what was so before they were fed together,
and where a stream is parked in one of them: data that only one refuses parks there alone.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final
from zlib import crc32

from sqlalchemy.ext.asyncio import AsyncConnection

from events.domain import Registry
from events.ids import StreamId
from readmodel.applied import Applied, Part, Unfit, fitting, result
from readmodel.control import BESIDE, POSITIONS
from readmodel.database import Database, database_errors
from readmodel.errors import DatabaseConflict, NoSchema, UnstorableData
from readmodel.feed_writing import FeedWriter
from readmodel.feeding import Fed, OtherFed, feed_no_more, lock, parks_and_fed, read_fed
from readmodel.folding import CannotProject, Folded, fold, summed
from readmodel.parks import changed, write_changes, write_parks
from readmodel.planning import Fault, Plan, Unit, plan
from readmodel.projection import POSITION_COLUMNS
from readmodel.standing import standing_of
from readmodel.verdicts import Position
from readmodel.writing import write_rows, write_sums
from runtime import logs

__all__ = ["Applied", "Applier", "Effect"]

BUCKETS: Final = 256
"""Of streams, by the same hash that makes partitions: with 16 partitions two projectors never share a bucket."""
ATTEMPTS: Final = 4
"""At finding out what is fed: in a rebuild it changes a few times."""
_LOG: Final = logs.get("applying")
Effect = Callable[[Sequence[tuple[Unit, Plan]]], Awaitable[None]]
"""What else must be done with the commits to apply before positions move; raises Retryable when it is not."""


class Applier:
    """Applies units to the generations that are fed, or with `alone` to the database's own, whatever is fed."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        effect: Effect | None = None,
        feed: FeedWriter | None = None,
        *,
        alone: bool = False,
    ) -> None:
        """`feed`: tells of what is applied to the current generation, where it is to be told."""
        self._database, self._registry, self._effect = database, registry, effect
        self._alone = alone or database.generation == BESIDE
        self._feed = None if self._alone else feed
        self._fed = Fed((database.generation,), database.generation)
        """As of the last transaction; every transaction makes sure of it."""

    async def apply(self, units: Sequence[Unit]) -> Applied:
        """All or nothing. Raises UnstorableData when PostgreSQL refuses some of the data, else Retryable errors."""
        return await self._on_what_is_fed(lambda fed: self._apply(units, fed, fed.generations))

    async def apply_or_park(self, unit: Unit, fault: Callable[[UnstorableData], Fault]) -> Applied:
        """A unit that PostgreSQL refuses, at most one commit of it: parked in the generations that refuse it, applied in others."""
        return await self._on_what_is_fed(lambda fed: self._apply_or_park(unit, fault, fed))

    async def _on_what_is_fed(self, work: Callable[[Fed], Awaitable[Applied]]) -> Applied:
        for _ in range(ATTEMPTS):
            try:
                return await work(self._fed)
            except OtherFed as other:
                self._fed = other.fed
            except Unfit as unfit:
                await self._without(unfit)
        raise DatabaseConflict("what is fed changes all the time")

    async def _without(self, unfit: Unfit) -> None:
        """A generation was dropped meanwhile; or it is one that this code cannot feed, and the current one goes on without it."""
        if self._alone:
            raise unfit.why from unfit
        fed = await read_fed(self._database.engine)
        if fed == self._fed:
            if not await feed_no_more(self._database.engine, unfit.generation):
                raise unfit.why from unfit
            _LOG.error("generation no longer fed", action="feed", generation=unfit.generation, error=str(unfit.why))
            fed = await read_fed(self._database.engine)
        self._fed = fed

    async def _apply(self, units: Sequence[Unit], fed: Fed, generations: Sequence[int]) -> Applied:
        with database_errors():
            async with self._database.engine.begin() as connection:
                parts = self._parts(connection, fed, generations)
                await self._lock(connection, units, generations)
                await self._stand(connection, units, parts, fed)
                missing = self._judge(units, parts)
                for part in parts:
                    with fitting(part):
                        missing += await self._write(part, units)
        return result(parts, missing)

    async def _apply_or_park(self, unit: Unit, fault: Callable[[UnstorableData], Fault], fed: Fed) -> Applied:
        found: dict[int, Applied] = {}
        for generation in fed.generations:
            try:
                found[generation] = await self._apply([unit], fed, [generation])
            except UnstorableData as wrong:
                found[generation] = await self._park(unit, fault(wrong), fed, generation)
        done = found[fed.current]
        done.missing += [each for generation, other in found.items() if generation != fed.current for each in other.missing]
        return done

    async def _park(self, unit: Unit, fault: Fault, fed: Fed, generation: int) -> Applied:
        """One stream for one projection, wherever it stands."""
        with database_errors():
            async with self._database.engine.begin() as connection:
                parts = self._parts(connection, fed, [generation])
                parts[0].done.parked.append((unit, fault))
                await self._lock(connection, [unit], [generation])
                _, now_fed = await parks_and_fed(connection, [generation], [unit.stream])
                self._expect(now_fed, fed)
                await write_parks(parts[0].within, generation, parts[0].done.parked)
        return result(parts, [])

    def _parts(self, connection: AsyncConnection, fed: Fed, generations: Sequence[int]) -> list[Part]:
        return [Part(each, each == fed.current, self._database.within(connection, each)) for each in generations]

    async def _lock(self, connection: AsyncConnection, units: Iterable[Unit], generations: Sequence[int]) -> None:
        places = {(unit.projection.name, crc32(unit.stream.encode()) % BUCKETS) for unit in units}
        await lock(connection, ((_space(each, name), bucket) for each in generations for name, bucket in places), alone=self._alone)

    async def _stand(self, connection: AsyncConnection, units: Sequence[Unit], parts: Sequence[Part], assumed: Fed) -> None:
        """Raises OtherFed when other generations than assumed are fed by now."""
        for part in parts:
            with fitting(part):
                part.standing = await standing_of(part.within, units)
        streams = sorted({unit.stream for unit in units})
        parked, fed = await parks_and_fed(connection, [part.generation for part in parts], streams)
        self._expect(fed, assumed)
        for (generation, projector, stream), spoken_of in parked.items():
            next(part for part in parts if part.generation == generation).standing.parked[projector, StreamId(stream)] = spoken_of

    def _expect(self, fed: Fed | None, assumed: Fed) -> None:
        if not self._alone and fed != assumed:
            raise OtherFed(fed) if fed is not None else NoSchema("no generation of the read model; run `headrace provision`")

    def _judge(self, units: Sequence[Unit], parts: Sequence[Part]) -> list[tuple[Unit, Position]]:
        """Units with a hole. Such a unit is not begun in one generation while another has to wait for it: they move together."""
        missing: list[tuple[Unit, Position]] = []
        for unit in units:
            plans = [plan(unit, part.standing.position(unit), parked=part.standing.is_parked(unit)) for part in parts]
            holes = [each.reached for each in plans if each.missing]
            if holes:
                missing.append((unit, min(holes)))
            for part, judged in zip(parts, plans, strict=True):
                waits = bool(holes) and len(parts) > 1
                part.plans.append(None if waits else judged)
                if not waits:
                    part.done.count(judged.counts)
        return missing

    async def _write(self, part: Part, units: Sequence[Unit]) -> list[tuple[Unit, Position]]:
        """Units that are redriven and must come again."""
        work = [(unit, judged) for unit, judged in zip(units, part.plans, strict=True) if judged is not None]
        folded = [(unit, judged, result) for unit, judged in work if (result := self._folded(unit, judged, part)) is not None]
        if self._effect is not None and folded:
            await self._effect([(unit, judged) for unit, judged, _ in folded])
        tables: dict[Any, list[dict[str, Any]]] = {}
        for unit, judged, result in folded:
            home = unit.projection.home
            place = dict(zip(POSITION_COLUMNS, (unit.stream, *judged.reached), strict=True))
            row = {"projector": unit.projection.name, **place} if home is None else {**(result.row or {}), **place}
            tables.setdefault(POSITIONS if home is None else home, []).append(row)
            part.done.advanced[unit.stream] = judged.reached.version
        # One order of tables for all writers; a home row's keys are under this transaction's locks anyway.
        for table in sorted(tables, key=lambda table: str(table.name)):
            await write_rows(part.within, table, sorted(tables[table], key=lambda row: (row.get("projector", ""), row["stream"])))
        if self._feed is not None and part.current:
            await self._feed.write(part.within, folded)
        try:
            sums = summed(delta for _, _, result in folded for delta in result.deltas)
        except TypeError as wrong:
            raise UnstorableData(f"values do not compare: {wrong}") from wrong
        for table in sorted(sums, key=lambda table: str(table.name)):
            await write_sums(part.within, table, sums[table])
        await write_parks(part.within, part.generation, part.done.parked)
        change = changed(work, part.standing.parked, part.done.parked)
        await write_changes(part.within, part.generation, change)
        return change.behind

    def _folded(self, unit: Unit, judged: Plan, part: Part) -> Folded | None:
        """The unit's changes up to its first fault; None when there are none. Faults are noted in `part.done`."""
        fault = judged.fault
        while judged.apply:
            try:
                result = fold(unit.projection, self._registry, unit.stream, part.standing.row(unit), judged.apply)
            except CannotProject as wrong:
                fault = wrong.fault
                _cut(judged, fault, part.standing.position(unit))
                continue
            break
        if fault is not None:
            part.done.parked.append((unit, fault))
        return result if judged.apply else None


def _space(generation: int, projection: str) -> int:
    """Of the locks of this projection in this generation; a signed 32-bit number."""
    return crc32(f"{generation}:{projection}".encode()) - 2**31


def _cut(judged: Plan, fault: Fault, before: Position) -> None:
    """Leave the commit with the fault, and all after it, out of the plan; a commit is applied whole or not at all."""
    kept = [each for each in judged.apply if each.commit.last < fault.version]
    judged.apply = kept
    judged.reached = Position(kept[-1].commit.last, kept[-1].commit.first, kept[-1].recorded()[-1].command_id) if kept else before
