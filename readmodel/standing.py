"""Where units stand in one generation, read under the locks: home rows and positions; and the parks of those that stand still."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy.dialects.postgresql import insert

from events.ids import StreamId
from readmodel.control import PARKED
from readmodel.database import Within
from readmodel.planning import Fault, Unit
from readmodel.projection import Row
from readmodel.verdicts import START, Position
from readmodel.writing import of_streams, positions_of

DETAIL: Final = 500
Key = tuple[str, StreamId]
"""Of a unit: its projection's name and its stream."""


@dataclass(slots=True)
class Standing:
    """In one generation. `parked` comes later, for all generations together."""

    rows: dict[Key, Row] = field(default_factory=dict)
    positions: dict[Key, Position] = field(default_factory=dict)
    parked: set[Key] = field(default_factory=set)

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


async def write_parks(within: Within, generation: int, faults: Sequence[tuple[Unit, Fault]]) -> None:
    """A stream that is parked already stays as it is."""
    if not faults:
        return
    rows = [
        {
            "generation": generation,
            "projector": unit.projection.name,
            "stream": unit.stream,
            "reason": fault.reason,
            "detail": storable(fault.detail),
            "first_version": fault.version,
        }
        for unit, fault in sorted(faults, key=lambda each: (each[0].projection.name, each[0].stream))
    ]
    await within.execute(insert(PARKED).on_conflict_do_nothing(), rows)


def storable(detail: str) -> str:
    """A detail that any PostgreSQL text column takes, whatever the poison was."""
    return detail.encode("ascii", "backslashreplace").decode().replace("\0", "\\0")[:DETAIL]
