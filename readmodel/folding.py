"""Events into changes: one stream's commits through its projection, and the deltas of many streams summed by key. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from msgspec import DecodeError
from sqlalchemy import Table

from events.domain import Registry, UnknownEvent
from events.envelope import Recorded
from events.ids import StreamId, Version
from readmodel.planning import Arrived, Fault
from readmodel.projection import POSITION_COLUMNS, Delta, Happened, Projection, Row


class CannotProject(Exception):  # noqa: N818 - carried to the place that parks the stream, never out of the projector
    """An event that its projection, or this code, cannot take."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


@dataclass(slots=True)
class Folded:
    """What a stream's commits come to: its home row (None where there is no home) and the deltas, in order."""

    row: Row | None
    deltas: list[Delta] = field(default_factory=list)


@dataclass(slots=True)
class Sums:
    """Deltas of one table, by primary key: what to add, what to keep the highest of."""

    add: dict[tuple[Any, ...], dict[str, int]] = field(default_factory=dict)
    highest: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)


def fold(projection: Projection, registry: Registry, stream: StreamId, row: Row | None, commits: Sequence[Arrived]) -> Folded:
    """Raises CannotProject with the version it stands at."""
    done = Folded(row)
    for arrived in commits:
        version = arrived.commit.first
        for recorded in arrived.recorded():
            happened = _happened(registry, stream, Version(version), recorded)
            _project(projection, happened, done)
            version = Version(version + 1)
    return done


def _happened(registry: Registry, stream: StreamId, version: Version, recorded: Recorded) -> Happened:
    try:
        event = registry.read(recorded.name, recorded.data)
    except UnknownEvent as wrong:
        raise CannotProject(Fault("unknown_event", str(wrong), version)) from wrong
    except Exception as wrong:  # an upcast is the domain's code and may raise anything
        reason = "unreadable" if isinstance(wrong, DecodeError) else "upcast_failed"
        raise CannotProject(Fault(reason, f"{recorded.name}: {type(wrong).__name__}: {wrong}", version)) from wrong
    return Happened(stream, version, event, recorded.at, recorded.actor, recorded.command_id, recorded.correlation)


def _project(projection: Projection, happened: Happened, done: Folded) -> None:
    try:
        changes = projection.project(done.row, happened)
        if changes.row is not None:
            _unless(_row_fault(projection.home, tuple(changes.row)))
            done.row = changes.row
        for delta in changes.deltas:
            length = len(delta.key) if isinstance(delta.key, tuple) else 1
            _unless(_delta_fault(projection.home, projection.tables, delta.table, (*delta.add, *delta.highest), length))
            done.deltas.append(delta)
        _unless("left no home row to keep its position in" if done.row is None and projection.home is not None else None)
    except Exception as wrong:  # the projection's own; whatever it is, it is this stream's alone
        detail = f"{projection.name}: {type(wrong).__name__}: {wrong}"
        raise CannotProject(Fault("projection_failed", detail, happened.version)) from wrong


def _unless(fault: str | None) -> None:
    if fault is not None:
        raise ValueError(fault)


# A projection's changes have few shapes, and there are as many changes as events: each shape is looked at once.
@lru_cache(maxsize=1024)
def _row_fault(home: Table | None, columns: tuple[str, ...]) -> str | None:
    if home is None:
        return "has no home table to put a row in"
    missing = own_columns(home).difference(columns)
    return f"its row lacks {', '.join(sorted(missing))}" if missing else None


@lru_cache(maxsize=1024)
def _delta_fault(home: Table | None, tables: tuple[Table, ...], table: Table, columns: tuple[str, ...], length: int) -> str | None:
    if table not in tables or table is home:
        return f"may not write deltas to {table.name}"
    if not _columns(table).issuperset(columns):
        return f"names columns that {table.name} has not"
    return f"its key does not fit {table.name}" if length != len(table.primary_key.columns) else None


@lru_cache
def own_columns(home: Table) -> frozenset[str]:
    """A home table's columns without its position."""
    return frozenset(home.columns.keys()) - set(POSITION_COLUMNS)


@lru_cache
def _columns(table: Table) -> frozenset[str]:
    return frozenset(table.columns.keys()) - set(table.primary_key.columns.keys())


def _key(delta: Delta) -> tuple[Any, ...]:
    return delta.key if isinstance(delta.key, tuple) else (delta.key,)


def summed(deltas: Iterable[Delta]) -> dict[Table, Sums]:
    """All deltas, by table and key. Raises TypeError where values of one column do not compare."""
    tables: dict[Table, Sums] = {}
    for delta in deltas:
        sums = tables.get(delta.table)
        if sums is None:
            sums = tables[delta.table] = Sums()
        key = _key(delta)
        add = sums.add.setdefault(key, {})
        for column, number in delta.add.items():
            add[column] = add.get(column, 0) + number
        if delta.highest:
            _keep_highest(sums.highest.setdefault(key, {}), delta.highest)
    return tables


def _keep_highest(highest: dict[str, Any], given: Mapping[str, Any]) -> None:
    for column, value in given.items():
        if column not in highest or value > highest[column]:
            highest[column] = value
