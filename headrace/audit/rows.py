"""Every stream of the spool against its rows and positions, and the sums of all of them against their tables, in one snapshot."""

from collections.abc import Callable
from typing import Final

from events.domain import Registry
from events.ids import StreamId, Version
from headrace.audit.arrivals import Arrivals
from headrace.audit.findings import Noted
from headrace.audit.judging import Judge, Sink
from headrace.audit.reading import commit_of
from headrace.audit.spool import Kept, Spool
from headrace.audit.standing import Concerned, Row, Sides, Where
from headrace.audit.sums import Sums
from readmodel.auditing import Snapshot
from readmodel.domains import all_projections

_SUSPECT: Final = "INSERT OR REPLACE INTO suspects VALUES (?, ?, ?)"
Told = Callable[[int], None]
"""So many events more were held against the views."""


class Rows:
    """One pass."""

    def __init__(self, spool: Spool, registry: Registry, places: dict[str, Where], noted: Noted) -> None:
        self._spool, self._registry, self._places, self._noted = spool, registry, places, noted
        self._concerned = Concerned(registry)
        self._tables = [table for each in all_projections(registry) for table in each.tables if table is not each.home]
        self._sums = Sums(spool, self._tables)
        self._elsewhere: list[tuple[str, str]] = []
        self._gone_on: list[tuple[str, str, int]] = []
        self._sink = Sink(
            noted,
            self._sums.add,
            self._sums.doubt,
            lambda *pair: self._elsewhere.append(pair),
            lambda *suspect: self._gone_on.append(suspect),
        )
        self.streams = 0
        self.events = 0

    async def check(self, now: Snapshot, arrivals: Arrivals, told: Told) -> None:
        """All of it."""
        sides = Sides(now, self._places, self._stray, rows=True)
        judge: Judge | None = None
        at = ""
        async for page in self._spool.commits():
            before = self.events
            for kept in page:
                if judge is None or kept.stream != at:
                    self._end(judge)
                    at = kept.stream
                    judge = await self._judge(StreamId(at), sides)
                _take(judge, kept)
            told(self.events - before)
            await self._aside(now, arrivals)
        self._end(judge)
        await sides.rest()
        await self._aside(now, arrivals)
        await self._check_sums(now)

    async def _judge(self, stream: StreamId, sides: Sides) -> Judge:
        known, projections = self._concerned.of(stream)
        return Judge(stream, self._registry, projections if known else (), await sides.of(stream), self._sink)

    def _end(self, judge: Judge | None) -> None:
        if judge is not None:
            judge.end()
            self.streams += 1
            self.events += judge.stored.events

    async def _stray(self, projector: str, row: Row) -> None:
        where = self._places[projector]
        if where.home:
            self._noted.note("I6", row["stream"], f"{where.table.name}: a row without events")
        else:
            self._noted.note("I5", row["stream"], f"{projector} is at version {row['version']} of a stream without events")

    async def _aside(self, now: Snapshot, arrivals: Arrivals) -> None:
        await now.stay()
        await self._sums.make_room()
        await arrivals.excuse(self._elsewhere)
        await self._spool.put(_SUSPECT, self._gone_on)
        self._elsewhere.clear()
        self._gone_on.clear()

    async def _check_sums(self, now: Snapshot) -> None:
        await self._sums.add_up()
        for table in self._tables:
            await self._sums.compare(table, now.rows(table), self._noted)

    async def confirm(self, now: Snapshot) -> None:
        """Of those that were parked and had gone on: which stand where they stood, so that nobody is redriving them."""
        for projector, where in self._places.items():
            async for page in self._spool.rows("SELECT stream, version FROM suspects WHERE projector = ?", (projector,)):
                streams = [stream for stream, _ in page]
                there = await now.versions(where.table, streams, where.projector(projector))
                parked = await now.parked(streams)
                for stream, version in page:
                    if (projector, stream) in parked and there.get(stream) == version:
                        self._noted.note("I5", stream, f"{projector} has parked it, and is at version {version} beyond that")


def _take(judge: Judge, kept: Kept) -> None:
    if kept.events is None:
        judge.unreadable(Version(kept.first), kept.settled or "")
    else:
        judge.take(commit_of(kept))
