"""Whole streams into what a generation holds of them: rows, positions, and the sums of many streams. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from msgspec import MsgspecError
from sqlalchemy import Table

from events.domain import Registry
from events.envelope import Commit
from events.ids import StreamId
from readmodel.control import POSITIONS
from readmodel.domains import projections_of
from readmodel.folding import CannotProject, Sums, fold, summed
from readmodel.planning import Arrived
from readmodel.projection import POSITION_COLUMNS, Delta, Projection

Values = tuple[Any, ...]
"""Of a row, in the order of its table's columns."""


@dataclass(slots=True)
class Batch:
    """Streams that are written together."""

    rows: dict[Table, list[Values]] = field(default_factory=dict)
    """Of home tables and of `positions`."""
    deltas: list[Delta] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    """All of it again, for the case that PostgreSQL refuses something."""
    streams: int = 0
    events: int = 0

    def sums(self) -> dict[Table, Sums]:
        """Raises TypeError where values of one column do not compare."""
        return summed(self.deltas)


class Folder:
    """Of one registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._values: dict[Table, Callable[[dict[str, Any]], Values]] = {}

    def add(self, batch: Batch, commits: Sequence[Commit]) -> StreamId | None:
        """One whole stream; returned when it has anything a projector would park it for: the projector's own way takes it then."""
        stream = commits[0].stream
        arrived = [Arrived(commit) for commit in commits]
        try:
            head_id = arrived[-1].recorded()[-1].command_id
            place = (stream, commits[-1].last, commits[-1].first, head_id)
            folded = [(each, fold(each, self._registry, stream, None, arrived)) for each in projections_of(self._registry, stream)]
        except (CannotProject, MsgspecError, ValueError, RecursionError):
            return stream
        position = dict(zip(POSITION_COLUMNS, place, strict=True))
        for projection, result in folded:
            table, row = _home(projection, result.row, position)
            batch.rows.setdefault(table, []).append(self._of(table)(row))
            batch.deltas += result.deltas
        batch.commits += commits
        batch.streams += 1
        batch.events += commits[-1].last
        return None

    def _of(self, table: Table) -> Callable[[dict[str, Any]], Values]:
        found = self._values.get(table)
        if found is None:
            found = self._values[table] = itemgetter(*table.columns.keys())
        return found


def _home(projection: Projection, row: Any, position: dict[str, Any]) -> tuple[Table, dict[str, Any]]:
    if projection.home is None:
        return POSITIONS, {"projector": projection.name, **position}
    return projection.home, {**row, **position}
