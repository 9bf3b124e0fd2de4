"""I4: what was stored when it was read has been passed by every projector, or its stream is parked; and what has gone on meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from events.domain import Registry
from events.ids import StreamId
from headrace.audit.findings import Noted
from headrace.audit.judging import Standing
from headrace.audit.spool import Spool
from headrace.audit.standing import Concerned, Row, Sides, Where
from readmodel.auditing import Snapshot, snapshot
from readmodel.control import AMQP, CACHE
from readmodel.database import Database
from readmodel.verdicts import START
from runtime.times import Micros

FIRST_PAUSE: Final = 0.1
LAST_PAUSE: Final = 2.0
_LATE: Final = "INSERT OR REPLACE INTO late VALUES (?, ?, ?)"
_TAIL: Final = "INSERT INTO tails VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET wanted = max(wanted, excluded.wanted)"


class Patience:
    """What is under way gets so many seconds in all, however often it is waited for."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    async def pause(self, seconds: float) -> None:
        """At most what is left."""
        now = min(seconds, self.left)
        self.left -= now
        await asyncio.sleep(now)


class Arrivals:
    """Streams whose projectors are not yet where they were stored to, in `late`. `since`: see `checking.published_from`."""

    def __init__(self, spool: Spool, registry: Registry, places: dict[str, Where], since: Micros | None) -> None:
        self._spool, self._places, self._since = spool, places, since
        self._concerned = Concerned(registry)

    async def mark(self, now: Snapshot) -> None:
        """Who is late now; and in `tails`, what PostgreSQL knows and the spool does not yet."""
        await self._spool.clear("late")
        await self._spool.clear("tails")
        late: list[tuple[str, str, int]] = []
        tails: list[tuple[str, int, int]] = []

        async def stray(name: str, row: Row) -> None:  # noqa: ARG001 - a Stray's shape
            tails.append((row["stream"], 0, row["version"]))
            await self._put([], tails)

        sides = Sides(now, self._places, stray, rows=False)
        async for page in self._spool.rows("SELECT stream, max(last, 0), at FROM heads ORDER BY stream"):
            for stream, last, at in page:
                standing = await sides.of(stream)
                late += [(name, stream, last) for name in self._must_pass(stream, at, standing) if _version(standing, name) < last]
                highest = max((place.version for place in standing.positions.values()), default=0)
                if highest > last:
                    tails.append((stream, last, highest))
            await self._put(late, tails)
        await sides.rest()
        await self._put(late, tails, room=0)

    async def _put(self, late: list[tuple[str, str, int]], tails: list[tuple[str, int, int]], room: int = 1_000) -> None:
        """Aside, when they are many."""
        for rows, statement in ((late, _LATE), (tails, _TAIL)):
            if len(rows) > room:
                await self._spool.put(statement, rows)
                rows.clear()

    def _must_pass(self, stream: StreamId, at: int, standing: Standing) -> list[str]:
        names = [each.name for each in self._concerned.of(stream)[1]]
        moving = [name for name in names if name not in standing.parks]
        wanted = [*moving, *([CACHE] if moving == names else [])]
        return [*wanted, AMQP] if self._since is not None and at >= self._since and AMQP not in standing.parks else wanted

    async def wait(self, database: Database, patience: Patience, told: Callable[[int], None]) -> None:
        """Until nobody is late any more, or patience ends. Only those who were late are looked at."""
        pause = FIRST_PAUSE
        while (late := await self.count()) and patience.left > 0:
            told(late)
            await patience.pause(pause)
            pause = min(2 * pause, LAST_PAUSE)
            async with snapshot(database) as now:
                await self._look(now)

    async def count(self) -> int:
        """Streams."""
        return int((await self._spool.one("SELECT count(DISTINCT stream) FROM late"))[0])

    async def _look(self, now: Snapshot) -> None:
        for projector, where in self._places.items():
            async for page in self._spool.rows("SELECT stream, version FROM late WHERE projector = ?", (projector,)):
                there = await self._reached(now, projector, where, [stream for stream, _ in page])
                gone = [(projector, stream) for stream, version in page if there[stream] is None or there[stream] >= version]
                await self._spool.put("DELETE FROM late WHERE projector = ? AND stream = ?", gone)

    async def _reached(self, now: Snapshot, projector: str, where: Where, streams: list[str]) -> dict[str, Any]:
        """Versions; None where a park excuses it."""
        found: dict[str, Any] = dict.fromkeys(streams, 0)
        found |= await now.versions(where.table, streams, where.projector(projector))
        for parked_for, stream in await now.parked(streams):
            if parked_for == projector or (projector == CACHE and parked_for != AMQP):
                found[stream] = None
        return found

    async def tell(self, now: Snapshot, noted: Noted) -> int:
        """Who was late when `mark` looked, each a difference; how many streams."""
        late = await self.count()
        for projector, where in self._places.items():
            async for page in self._spool.rows("SELECT stream, version FROM late WHERE projector = ?", (projector,)):
                there = await self._reached(now, projector, where, [stream for stream, _ in page])
                for stream, version in page:
                    noted.note("I4", stream, f"{projector} is at version {there[stream]}, the stream at {version}")
        return late

    async def excuse(self, pairs: list[tuple[str, str]]) -> None:
        """(projector, stream): their positions are wrong, which is told as that."""
        await self._spool.put("DELETE FROM late WHERE projector = ? AND stream = ?", pairs)


def _version(standing: Standing, name: str) -> int:
    return standing.positions.get(name, START).version
