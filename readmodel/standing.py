"""Where units stand in one generation, read under the locks: home rows and positions; and the parks of those that stand still."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from events.ids import StreamId
from readmodel.database import Within
from readmodel.planning import Unit
from readmodel.projection import Row
from readmodel.verdicts import START, Position
from readmodel.writing import of_streams, positions_of

Key = tuple[str, StreamId]
"""Of a unit: its projection's name and its stream."""


@dataclass(slots=True)
class Standing:
    """In one generation. `parked` comes later, for all generations together."""

    rows: dict[Key, Row] = field(default_factory=dict)
    positions: dict[Key, Position] = field(default_factory=dict)
    parked: dict[Key, int] = field(default_factory=dict)
    """To which version they were spoken of."""

    def position(self, unit: Unit) -> Position:
        """START where it has none."""
        return self.positions.get(key_of(unit), START)

    def row(self, unit: Unit) -> Row | None:
        """Its home row; None where there is none, or no home."""
        return self.rows.get(key_of(unit)) if unit.projection.home is not None else None

    def is_parked(self, unit: Unit) -> bool:
        return key_of(unit) in self.parked


def key_of(unit: Unit) -> Key:
    return unit.projection.name, unit.stream


async def standing_of(within: Within, units: Sequence[Unit]) -> Standing:
    """One statement a projection."""
    found = Standing()
    streams: dict[str, list[StreamId]] = {}
    projections = {unit.projection.name: unit.projection for unit in units}
    for unit in units:
        streams.setdefault(unit.projection.name, []).append(unit.stream)
    for name, wanted in streams.items():
        home = projections[name].home
        values: Mapping[str, Any] = {"streams": wanted} if home is not None else {"streams": wanted, "projector": name}
        result = await within.execute(positions_of() if home is None else of_streams(home), values)
        columns = list(result.keys())
        for values_of_row in result:
            row = dict(zip(columns, values_of_row, strict=True))
            found.rows[name, row["stream"]] = row
            found.positions[name, row["stream"]] = Position(row["version"], row["commit_first"], row["head_id"])
    return found
