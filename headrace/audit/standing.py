"""What PostgreSQL says of stream after stream, merged from its tables as they are read side by side in the order of streams."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from sqlalchemy import Table

from events.domain import Registry
from events.ids import StreamId
from headrace.audit.judging import Park, Standing
from readmodel.auditing import Rows, Snapshot
from readmodel.control import AMQP, CACHE, POSITIONS, PUBLISHED, READ_MODEL
from readmodel.domains import all_projections, projections_of
from readmodel.projection import Projection
from readmodel.verdicts import Position

Row = dict[str, Any]
Stray = Callable[[str, Row], Awaitable[None]]
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

    def __init__(self, name: str, pages: AsyncIterator[Rows], stray: Callable[[Row], Awaitable[None]]) -> None:
        self.name = name
        self.head = ""
        """The stream of the next row; not yet known in the beginning."""
        self._pages, self._stray = pages, stray
        self._rows: Sequence[Row] = ()
        self._next = 0

    async def of(self, stream: str) -> Sequence[Row]:
        """The rows of `stream`; those before it are strays."""
        found: list[Row] = []
        while True:
            while self._next < len(self._rows):
                row = self._rows[self._next]
                self.head = row["stream"]
                if self.head > stream:
                    return found
                self._next += 1
                if self.head == stream:
                    found.append(row)
                else:
                    await self._stray(row)
            if not await self._fill():
                self.head = END
                return found

    async def _fill(self) -> bool:
        try:
            self._rows, self._next = await anext(self._pages), 0
        except StopAsyncIteration:
            self._rows, self._next = (), 0
        return len(self._rows) > 0


class Sides:
    """Ask for streams in rising order."""

    def __init__(self, snapshot: Snapshot, places: dict[str, Where], stray: Stray, *, rows: bool) -> None:
        """`rows`: whole home rows are wanted, not only the positions in them."""
        self._parks = _Side("", snapshot.parks(), _nothing)
        self._sides: list[tuple[_Side, bool]] = []
        for name, where in places.items():
            if where.home:
                pages = snapshot.rows(where.table) if rows else snapshot.places(where.table)
            else:
                pages = snapshot.published() if where.table is PUBLISHED else snapshot.positions(name)
            self._sides.append((_Side(name, pages, partial(stray, name)), where.home and rows))

    async def of(self, stream: str) -> Standing:
        """What is said of it."""
        found = Standing()
        for side, whole in self._sides:
            if side.head > stream:  # most often there is nothing to be awaited for
                continue
            for row in await side.of(stream):
                found.positions[side.name] = Position(row["version"], row["commit_first"], row["head_id"])
                if whole:
                    found.rows[side.name] = row
        if self._parks.head <= stream:
            for row in await self._parks.of(stream):
                found.parks[row["projector"]] = Park(row["reason"], row["first_version"])
        return found

    async def rest(self) -> None:
        """No stream comes any more: all that is left are strays."""
        for side, _ in self._sides:
            await side.of(END)


END: Final = chr(0x10FFFF)
"""Beyond all streams: PostgreSQL's order of them is that of their code points."""


class Concerned:
    """Whom streams concern, looked up once for each type of stream."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str | None, Sequence[Projection]] = {}

    def of(self, stream: StreamId) -> tuple[bool, Sequence[Projection]]:
        """(whether a domain of this process has such streams, its projections)."""
        domain = self._registry.of_stream(stream)
        kind = domain.type if domain is not None else None
        found = self._known.get(kind)
        if found is None:
            found = self._known[kind] = projections_of(self._registry, stream)
        return domain is not None, found


async def _nothing(row: Row) -> None:
    """What no event of ours came to may be parked: it was spoken of."""
