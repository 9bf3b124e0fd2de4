"""How far the read model is on given streams: all projections' positions and parks, in one SELECT."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import CompoundSelect, Text, cast, false, literal, select, true, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from events.domain import Registry
from events.ids import StreamId, stream_parts
from readmodel.control import CACHE, PARKED, POSITIONS, READ_MODEL
from readmodel.domains import all_projections, projections_of
from readmodel.verdicts import START, Position
from readmodel.writing import any_stream


@dataclass(slots=True)
class Reached:
    """One stream: the positions of those that have one, and those that it is parked for."""

    names: tuple[str, ...]
    """The projections that must pass its commits."""
    positions: dict[str, Position] = field(default_factory=dict)
    parked: set[str] = field(default_factory=set)

    def passed(self, version: int) -> bool:
        """Whether all its projections are at `version`, or will never be until somebody redrives it."""
        return all(name in self.parked or self.positions.get(name, START).version >= version for name in self.names)

    def shows(self, version: int) -> bool:
        """Whether all its projections are at `version` indeed."""
        return all(self.positions.get(name, START).version >= version for name in self.names)

    @property
    def stuck(self) -> bool:
        return not self.parked.isdisjoint(self.names)

    def place(self) -> Position | None:
        """Where the last of its projections that still move is; None when none has begun."""
        moving = [self.positions.get(name, START) for name in self.names if name not in self.parked]
        position = min(moving) if moving else max((self.positions.get(name, START) for name in self.names), default=START)
        return position if position.version > 0 else None

    def cached(self, version: int) -> bool:
        """Whether Redis holds nothing older than `version` of it."""
        return self.positions.get(CACHE, START).version >= version


class Progress:
    """Asks about the projections of one registry in one generation."""

    def __init__(self, registry: Registry, generation: int, shown: Iterable[str] = ()) -> None:
        """`shown`: of a domain that has one of these projections, only these count."""
        self._registry, self._shown = registry, frozenset(shown)
        self._known: dict[str, tuple[str, ...]] = {}
        """Names by type of stream."""
        self._statement: Final = _everything(registry, generation)

    async def reached(self, connection: AsyncConnection, streams: Sequence[StreamId]) -> dict[StreamId, Reached]:
        """An answer for every stream, also for unknown ones."""
        found = {stream: Reached(self._names(stream)) for stream in streams}
        if not found:
            return found
        rows = await connection.execute(self._statement, {"streams": list(found)})
        for projector, stream, version, commit_first, head_id, parked in rows:
            if parked:
                found[stream].parked.add(projector)
            else:
                found[stream].positions[projector] = Position(version, commit_first, head_id)
        return found

    def _names(self, stream: StreamId) -> tuple[str, ...]:
        parts = stream_parts(stream)
        kind = parts.type if parts else ""
        known = self._known.get(kind)
        if known is None:
            names = tuple(each.name for each in projections_of(self._registry, stream))
            known = self._known[kind] = tuple(name for name in names if name in self._shown) or names
        return known


def _everything(registry: Registry, generation: int) -> CompoundSelect[Any]:
    """(projector, stream, version, commit_first, head_id, parked) of `:streams`."""
    projections = all_projections(registry)
    homes = [(each.name, each.home) for each in projections if each.home is not None]
    names = [READ_MODEL, CACHE, *(each.name for each in projections if each.home is None)]
    parts: list[Any] = [
        select(
            literal(name, Text()).label("projector"),
            home.c.stream,
            home.c.version,
            home.c.commit_first,
            home.c.head_id,
            false().label("parked"),
        ).where(home.c.stream == any_stream())
        for name, home in homes
    ]
    parts.append(
        select(
            POSITIONS.c.projector, POSITIONS.c.stream, POSITIONS.c.version, POSITIONS.c.commit_first, POSITIONS.c.head_id, false()
        ).where(POSITIONS.c.projector.in_(names), POSITIONS.c.stream == any_stream())
    )
    parts.append(
        select(PARKED.c.projector, PARKED.c.stream, PARKED.c.first_version, PARKED.c.first_version, cast(literal(""), Text), true()).where(
            PARKED.c.generation == generation, PARKED.c.stream == any_stream()
        )
    )
    return union_all(*parts)
