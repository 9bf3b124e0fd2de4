"""What PostgreSQL says of stream after stream, merged from its tables as they are read side by side in the order of streams."""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Table

from events.domain import Registry
from headrace.audit.judging import Park, Standing
from readmodel.auditing import Rows, Snapshot
from readmodel.control import AMQP, CACHE, POSITIONS, PUBLISHED, READ_MODEL
from readmodel.domains import all_projections
from readmodel.verdicts import Position

Row = dict[str, Any]
Stray = Callable[[str, Row], None]
"""(projector, row): of a stream that nobody asked for, since the store has none of it."""


class Where(NamedTuple):
    """Where a projector keeps its positions. `home`: in its rows."""

    table: Table
    home: bool = False

    def projector(self, name: str) -> str | None:
        """What to select by."""
        return name if self.table is POSITIONS else None


def places_of(registry: Registry, *, amqp: bool) -> dict[str, Where]:
    """Of every projector of a stack."""
    found = {READ_MODEL: Where(POSITIONS), CACHE: Where(POSITIONS)}
    for each in all_projections(registry):
        found[each.name] = Where(POSITIONS) if each.home is None else Where(each.home, home=True)
    return found | ({AMQP: Where(PUBLISHED)} if amqp else {})


class _Side:
    """One table's rows in the order of streams, each taken once."""

    def __init__(self, pages: AsyncIterator[Rows]) -> None:
        self._pages = pages
        self._rows: Sequence[Row] = ()
        self._next = 0
        self._ended = False

    async def of(self, stream: str | None, stray: Callable[[Row], None]) -> Sequence[Row]:
        """The rows of `stream`; those before it are strays. None: the end has come, all that is left are."""
        found: list[Row] = []
        while True:
            while self._next < len(self._rows):
                row = self._rows[self._next]
                if stream is not None and row["stream"] > stream:
                    return found
                self._next += 1
                if row["stream"] == stream:
                    found.append(row)
                else:
                    stray(row)
            if self._ended or not await self._fill():
                return found

    async def _fill(self) -> bool:
        self._rows, self._next = (), 0
        try:
            self._rows = await anext(self._pages)
        except StopAsyncIteration:
            self._ended = True
        return not self._ended


class Sides:
    """Ask for streams in rising order."""

    def __init__(self, snapshot: Snapshot, places: dict[str, Where], *, rows: bool) -> None:
        """`rows`: whole home rows are wanted, not only the positions in them."""
        self._parks = _Side(snapshot.parks())
        self._sides: list[tuple[str, bool, _Side]] = []
        for name, where in places.items():
            if where.home:
                pages = snapshot.rows(where.table) if rows else snapshot.places(where.table)
            else:
                pages = snapshot.published() if where.table is PUBLISHED else snapshot.positions(name)
            self._sides.append((name, where.home and rows, _Side(pages)))

    async def of(self, stream: str, stray: Stray) -> Standing:
        """What is said of it."""
        found = Standing()
        for name, whole, side in self._sides:
            for row in await side.of(stream, partial(stray, name)):
                found.positions[name] = Position(row["version"], row["commit_first"], row["head_id"])
                if whole:
                    found.rows[name] = row
        for row in await self._parks.of(stream, _nothing):
            found.parks[row["projector"]] = Park(row["reason"], row["first_version"])
        return found

    async def rest(self, stray: Stray) -> None:
        """No stream comes any more."""
        for name, _, side in self._sides:
            await side.of(None, partial(stray, name))


def _nothing(row: Row) -> None:
    """What no event of ours came to may be parked: it was spoken of."""
