"""A projection: SQLAlchemy tables and one pure function from what happened to what changes in them.

Two kinds. One with a `home` table has one row a stream; that row also holds how far the stream was applied, and the function is
given the row. One without writes only deltas (counts to add, values to keep the highest of); how far it got is in `positions`.
Deltas commute, so any order of streams comes to the same; positions guard them, so each is added exactly once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import BigInteger, Column, Table, Text

from events.ids import StreamId, Version
from runtime.errors import ConfigurationError
from runtime.times import Micros

Row = Mapping[str, Any]
POSITION_COLUMNS: Final = ("stream", "version", "commit_first", "head_id")
NOT_SUBJECTS: Final = frozenset({*POSITION_COLUMNS, "since", "name", "data", "at", "actor", "command_id"})
"""Names that mean something else in the feed of changes."""


class Happened(Struct, frozen=True):
    """One event as a projection sees it."""

    stream: StreamId
    version: Version
    event: Struct
    """As today's code knows it: decoded, upcast."""
    at: Micros
    actor: str
    command_id: str
    correlation: str


class Delta(Struct, frozen=True):
    """What to add to, and keep the highest of, in one row of a table; the row is made when it is not there."""

    table: Table
    key: Any
    """The primary key; a tuple when it has several columns."""
    add: Mapping[str, int] = {}
    highest: Mapping[str, Any] = {}


class Changes(Struct, frozen=True):
    """What one event comes to. `row` is the home row's own columns, all of them; None leaves it as it is."""

    row: Row | None = None
    deltas: tuple[Delta, ...] = ()


NOTHING: Final = Changes()
Project = Callable[[Row | None, Happened], Changes]


@dataclass(frozen=True, slots=True)
class Projection:
    """`project` raises when an event cannot be: its stream is then parked for this projection, with the reason."""

    name: str
    tables: tuple[Table, ...]
    project: Project
    home: Table | None = None
    subject: str = ""
    """A text column of the home table by which the feed of changes may be narrowed: `GET /events?picture_id=`."""

    def __post_init__(self) -> None:
        faults = []
        if self.home is not None and not set(POSITION_COLUMNS) <= set(self.home.columns.keys()):
            faults.append(f"projection {self.name}: its home table lacks {', '.join(POSITION_COLUMNS)}")
        if self.home is not None and self.home not in self.tables:
            faults.append(f"projection {self.name}: its home table is not among its tables")
        if self.subject and (self.home is None or self.subject not in self.home.columns or self.subject in NOT_SUBJECTS):
            faults.append(f"projection {self.name}: its subject {self.subject} is no column of its own in a home table")
        faults += [
            f"projection {self.name}: the table {table.name} has no primary key" for table in self.tables if not table.primary_key.columns
        ]
        if faults:
            raise ConfigurationError(faults)


def home_columns() -> tuple[Column[Any], ...]:
    """What a home table needs beside its own columns: the stream, and how far it was applied."""
    return (
        Column("stream", Text(collation="C"), primary_key=True),
        Column("version", BigInteger, nullable=False),
        Column("commit_first", BigInteger, nullable=False),
        Column("head_id", Text, nullable=False),
    )


def _skip(row: Row | None, happened: Happened) -> Changes:  # noqa: ARG001 - a projection's shape
    return NOTHING


def nothing_projected() -> Projection:
    """Stands in for a domain without projections: its streams' positions are kept, so that tokens and audits work."""
    return Projection("rds", (), _skip)
