"""Changes into the feed: one row a stream, one statement a batch, in the very transaction that makes them visible.

Nobody writes here without the advisory locks of `applying`, taken before the transaction's first write: by them, readers know which
transactions under way may still bring rows (see `feed_reading`), and by them the rows of a stream are in the order of its versions.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Raw
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, select
from sqlalchemy.dialects.postgresql import Insert, insert

from events.domain import Registry
from events.ids import StreamId, Version
from readmodel.control import CONTROL_SCHEMA
from readmodel.database import Within
from readmodel.domains import feeding
from readmodel.folding import Folded
from readmodel.planning import Arrived, Plan, Unit
from readmodel.writing import given

CHANGES: Final = Table(
    "changes",
    MetaData(),
    Column("stream", Text(collation="C"), nullable=False),
    Column("first_version", BigInteger, nullable=False),
    Column("last_version", BigInteger, nullable=False),
    Column("subject", Text(collation="C")),
    Column("events", Text, nullable=False),
    schema=CONTROL_SCHEMA,
)
"""What is written of it; transaction, number and time come of themselves."""
Row = tuple[StreamId, Version, Version, str | None, str]


class FeedWriter:
    """Writes what was applied in the current generation."""

    def __init__(self, registry: Registry) -> None:
        self._subjects = {projection.name: projection.subject for projection in feeding(registry).values()}
        """By projection: only these are told, so that every event is told once."""

    async def write(self, within: Within, applied: Iterable[tuple[Unit, Plan, Folded]]) -> None:
        """In the caller's transaction."""
        rows = [self._row(unit, plan, folded) for unit, plan, folded in applied if unit.projection.name in self._subjects]
        if rows:
            columns = zip(*rows, strict=True)
            await within.execute(_inserting(), dict(zip(CHANGES.columns.keys(), map(list, columns), strict=True)))

    def _row(self, unit: Unit, plan: Plan, folded: Folded) -> Row:
        column = self._subjects[unit.projection.name]
        subject = folded.row.get(column) if column and folded.row is not None else None
        first, last = plan.apply[0].commit.first, plan.apply[-1].commit.last
        return unit.stream, first, last, None if subject is None else str(subject), joined(plan.apply)


@lru_cache
def _inserting() -> Insert:
    columns = list(CHANGES.columns)
    source = given(columns)
    wanted = select(*(source.c[column.name] for column in columns))
    return insert(CHANGES).from_select([column.name for column in columns], wanted, include_defaults=False)


def joined(commits: Sequence[Arrived]) -> str:
    """The events of commits that follow one another as one JSON array, as they are stored: nothing is decoded for it."""
    if len(commits) == 1:
        return _text(commits[0].commit.events)
    return f"[{','.join(_text(each.commit.events).strip()[1:-1] for each in commits)}]"


def _text(events: Raw) -> str:
    """Never refused: what was applied is told."""
    text = str(memoryview(events), "utf-8", "replace")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in text else text
