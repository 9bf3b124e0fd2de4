"""A batch of units into PostgreSQL: one transaction, exactly once, whoever else does the same at the same time.

In the transaction: advisory locks on the (projection, stream bucket) pairs in one statement in order (a new stream has no row
to lock), then positions and home rows, then the verdicts: what is judged under the locks needs no second look. A hole found
there costs nothing but its own unit: the others are committed, and the unit comes again with the store's commits. So nothing is
ever fetched while locks are held, and no reader or other projector waits for DynamoDB.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from zlib import crc32

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from events.domain import Registry
from events.ids import StreamId
from readmodel.control import PARKED, POSITIONS
from readmodel.database import Database, database_errors
from readmodel.errors import UnstorableData
from readmodel.folding import CannotProject, Folded, fold, summed
from readmodel.planning import Fault, Plan, Unit, plan
from readmodel.projection import POSITION_COLUMNS, Projection, Row
from readmodel.verdicts import START, Position, Verdict
from readmodel.writing import any_stream, locking, of_streams, positions_of, write_rows, write_sums

BUCKETS: Final = 256
"""Of streams, by the same hash that makes partitions: with 16 partitions two projectors never share a bucket."""
DETAIL: Final = 500
Key = tuple[str, StreamId]
Effect = Callable[[Sequence[tuple[Unit, Plan]]], Awaitable[None]]
"""What else must be done with the commits to apply before positions move; raises Retryable when it is not."""


@dataclass(slots=True)
class Applied:
    """What a batch came to once it is committed."""

    counts: Counter[Verdict] = field(default_factory=Counter)
    advanced: dict[StreamId, int] = field(default_factory=dict)
    """Streams that moved, and to which version."""
    missing: list[tuple[Unit, Position]] = field(default_factory=list)
    """Units with a hole, and where it begins."""
    parked: list[tuple[Unit, Fault]] = field(default_factory=list)

    def add(self, other: "Applied") -> None:
        self.counts.update(other.counts)
        for stream, version in other.advanced.items():
            self.advanced[stream] = max(version, self.advanced.get(stream, 0))
        self.missing += other.missing
        self.parked += other.parked


@dataclass(slots=True)
class _Standing:
    """Where the units stand, read under the locks."""

    rows: dict[Key, Row] = field(default_factory=dict)
    positions: dict[Key, Position] = field(default_factory=dict)
    parked: set[Key] = field(default_factory=set)


class Applier:
    """Applies units to one generation."""

    def __init__(self, database: Database, registry: Registry, effect: Effect | None = None) -> None:
        self._database, self._registry, self._effect = database, registry, effect

    async def apply(self, units: Sequence[Unit]) -> Applied:
        """All or nothing. Raises UnstorableData when PostgreSQL refuses some of the data, else Retryable errors."""
        done = Applied()
        with database_errors():
            async with self._database.engine.begin() as connection:
                await self._lock(connection, units)
                standing = await self._standing(connection, units)
                work = [(unit, self._judged(unit, standing, done)) for unit in units]
                await self._write(connection, work, standing, done)
        return done

    async def park(self, unit: Unit, fault: Fault) -> Applied:
        """Park one stream for one projection, wherever it stands."""
        done = Applied(parked=[(unit, fault)])
        with database_errors():
            async with self._database.engine.begin() as connection:
                await self._lock(connection, [unit])
                await self._write_parks(connection, done)
        return done

    async def _lock(self, connection: AsyncConnection, units: Iterable[Unit]) -> None:
        pairs = sorted({(self._space(unit.projection), crc32(unit.stream.encode()) % BUCKETS) for unit in units})
        await connection.execute(locking(), {"space": [space for space, _ in pairs], "bucket": [b for _, b in pairs]})

    def _space(self, projection: Projection) -> int:
        """Of this projection in this generation; a signed 32-bit number."""
        return crc32(f"{self._database.generation}:{projection.name}".encode()) - 2**31

    async def _standing(self, connection: AsyncConnection, units: Sequence[Unit]) -> _Standing:
        found = _Standing()
        streams: dict[str, list[StreamId]] = {}
        projections = {unit.projection.name: unit.projection for unit in units}
        for unit in units:
            streams.setdefault(unit.projection.name, []).append(unit.stream)
        for name, wanted in streams.items():
            home = projections[name].home
            values: dict[str, Any] = {"streams": wanted} if home is not None else {"streams": wanted, "projector": name}
            result = await connection.execute(positions_of() if home is None else of_streams(home), values)
            columns = list(result.keys())
            for values_of_row in result:
                row = dict(zip(columns, values_of_row, strict=True))
                found.rows[name, row["stream"]] = row
                found.positions[name, row["stream"]] = Position(row["version"], row["commit_first"], row["head_id"])
        every = [stream for wanted in streams.values() for stream in wanted]
        parks = await connection.execute(
            select(PARKED.c.projector, PARKED.c.stream).where(
                PARKED.c.generation == self._database.generation, PARKED.c.stream == any_stream()
            ),
            {"streams": every},
        )
        found.parked = {(projector, stream) for projector, stream in parks}
        return found

    def _judged(self, unit: Unit, standing: _Standing, done: Applied) -> Plan:
        key = (unit.projection.name, unit.stream)
        judged = plan(unit, standing.positions.get(key, START), parked=key in standing.parked)
        done.counts.update(judged.counts)
        if judged.missing:
            done.missing.append((unit, judged.reached))
        return judged

    async def _write(
        self,
        connection: AsyncConnection,
        work: Sequence[tuple[Unit, Plan]],
        standing: _Standing,
        done: Applied,
    ) -> None:
        folded = [(unit, each, result) for unit, each in work if (result := self._folded(unit, each, standing, done)) is not None]
        if self._effect is not None and folded:
            await self._effect([(unit, each) for unit, each, _ in folded])
        tables: dict[Any, list[dict[str, Any]]] = {}
        for unit, each, result in folded:
            home = unit.projection.home
            place = dict(zip(POSITION_COLUMNS, (unit.stream, *each.reached), strict=True))
            row = {"projector": unit.projection.name, **place} if home is None else {**(result.row or {}), **place}
            tables.setdefault(POSITIONS if home is None else home, []).append(row)
            done.advanced[unit.stream] = each.reached.version
        # One order of tables for all writers; a home row's keys are under this transaction's locks anyway.
        for table in sorted(tables, key=lambda table: str(table.name)):
            await write_rows(connection, table, sorted(tables[table], key=lambda row: (row.get("projector", ""), row["stream"])))
        try:
            sums = summed(delta for _, _, result in folded for delta in result.deltas)
        except TypeError as wrong:
            raise UnstorableData(f"values do not compare: {wrong}") from wrong
        for table in sorted(sums, key=lambda table: str(table.name)):
            await write_sums(connection, table, sums[table])
        await self._write_parks(connection, done)

    def _folded(self, unit: Unit, judged: Plan, standing: _Standing, done: Applied) -> Folded | None:
        """The unit's changes up to its first fault; None when there are none. Faults are noted in `done`."""
        row = standing.rows.get((unit.projection.name, unit.stream)) if unit.projection.home is not None else None
        fault = judged.fault
        while judged.apply:
            try:
                result = fold(unit.projection, self._registry, unit.stream, row, judged.apply)
            except CannotProject as wrong:
                fault = wrong.fault
                _cut(judged, fault, standing.positions.get((unit.projection.name, unit.stream), START))
                continue
            break
        if fault is not None:
            done.parked.append((unit, fault))
        return result if judged.apply else None

    async def _write_parks(self, connection: AsyncConnection, done: Applied) -> None:
        if not done.parked:
            return
        rows = [
            {
                "generation": self._database.generation,
                "projector": unit.projection.name,
                "stream": unit.stream,
                "reason": fault.reason,
                "detail": storable(fault.detail),
                "first_version": fault.version,
            }
            for unit, fault in sorted(done.parked, key=lambda each: (each[0].projection.name, each[0].stream))
        ]
        await connection.execute(insert(PARKED).on_conflict_do_nothing(), rows)


def _cut(judged: Plan, fault: Fault, before: Position) -> None:
    """Leave the commit with the fault, and all after it, out of the plan; a commit is applied whole or not at all."""
    kept = [each for each in judged.apply if each.commit.last < fault.version]
    judged.apply = kept
    judged.reached = Position(kept[-1].commit.last, kept[-1].commit.first, kept[-1].recorded()[-1].command_id) if kept else before


def storable(detail: str) -> str:
    """A detail that any PostgreSQL text column takes, whatever the poison was."""
    return detail.encode("ascii", "backslashreplace").decode().replace("\0", "\\0")[:DETAIL]
