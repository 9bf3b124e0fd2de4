"""The feed of changes out of PostgreSQL: pages of rows in their order, none skipped.

Transactions become visible in another order than their ids. So nothing is read at or beyond the oldest transaction that may still
bring rows. That is the oldest under way in the whole server (`pg_snapshot_xmin`), as long as it moves; when something foreign holds
it back, the oldest of those that hold a projector's locks (`careful`): a dump or a long report elsewhere then delays nobody.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from events.ids import StreamId, Version
from readmodel.control import CONTROL_SCHEMA
from readmodel.database import Limits, database_errors, open_engine
from readmodel.feed import MOST_EVENTS, Change, Point
from runtime.settings import Settings
from runtime.times import Micros, from_datetime, to_datetime

POOL: Final = 4
FOLLOWING: Final = Limits(pool=POOL, acquire_seconds=2, statement_seconds=5, one_by_one=True)
PAGE_ROWS: Final = 1000
PAGE_BYTES: Final = 1024 * 1024
"""Of events; a single row may have more."""
LONGEST_SECONDS: Final = 60
"""A projector's transaction is taken not to last longer; every statement and every pause of it ends after a third of that."""
NEVER: Final = Micros(0)

_HORIZON: Final = text(
    """
    SELECT CAST(pg_snapshot_xmin(seen) AS text) AS horizon,
        CAST(pg_snapshot_xmin(seen) AS text) AS oldest, CAST(pg_snapshot_xmax(seen) AS text) AS next
    FROM pg_current_snapshot() AS seen
    """
)
# The snapshot is older than the look at the locks, and the rows are read later still: a writer that is in the snapshot and no longer
# among the locks has ended in between, and is seen then.
_CAREFUL_HORIZON: Final = text(
    """
    SELECT CAST(coalesce(
        (
            SELECT under_way FROM pg_snapshot_xip(seen) AS under_way
            WHERE CAST(under_way AS xid) IN (
                SELECT own.transactionid FROM pg_locks AS own
                WHERE own.locktype = 'transactionid' AND own.mode = 'ExclusiveLock' AND own.granted AND own.virtualtransaction IN (
                    SELECT held.virtualtransaction FROM pg_locks AS held JOIN pg_database ON pg_database.oid = held.database
                    WHERE held.locktype = 'advisory' AND held.objsubid = 2 AND held.granted AND pg_database.datname = current_database()
                )
            )
            ORDER BY under_way LIMIT 1
        ),
        pg_snapshot_xmax(seen)
    ) AS text) AS horizon, CAST(pg_snapshot_xmin(seen) AS text) AS oldest, CAST(pg_snapshot_xmax(seen) AS text) AS next
    FROM pg_current_snapshot() AS seen
    """
)
# Bounded in rows looked at, not in rows found: a rare subject costs many short statements, never a long one. The row that the reader has
# wholly is not wanted: were it long, it would take the page's bytes from those behind it.
_PAGE: Final = text(
    """
    WITH looked_at AS MATERIALIZED (
        SELECT transaction, number, stream, first_version, last_version, subject, at, octet_length(events) AS size
        FROM headrace.changes
        WHERE (transaction, number) >= (CAST(CAST(:transaction AS text) AS xid8), CAST(:number AS bigint))
            AND transaction < CAST(CAST(:until AS text) AS xid8)
        ORDER BY transaction, number
        LIMIT :most
    ),
    wanted AS (
        SELECT *, sum(size) OVER (ORDER BY transaction, number) - size AS before
        FROM looked_at
        WHERE (CAST(:subject AS text) IS NULL OR subject = CAST(:subject AS text)) AND at >= CAST(:since AS timestamptz)
            AND (transaction, number, last_version - first_version + 1)
                > (CAST(CAST(:transaction AS text) AS xid8), CAST(:number AS bigint), CAST(:events AS bigint))
    ),
    taken AS (SELECT * FROM wanted WHERE before < :bytes),
    summary AS (
        SELECT
            (SELECT count(*) FROM looked_at) AS looked_at,
            (SELECT count(*) FROM wanted) - (SELECT count(*) FROM taken) AS left_over,
            CAST(gone.transaction AS text) AS gone_transaction, gone.number AS gone_number,
            CAST(final.transaction AS text) AS final_transaction, final.number AS final_number, final.events AS final_events
        FROM headrace.forgotten AS gone
        LEFT JOIN LATERAL (
            SELECT transaction, number, last_version - first_version + 1 AS events
            FROM looked_at ORDER BY transaction DESC, number DESC LIMIT 1
        ) AS final ON true
        WHERE gone.what = 'changes'
    )
    SELECT summary.*, CAST(taken.transaction AS text) AS transaction, taken.number, taken.stream, taken.first_version, taken.last_version,
        taken.subject, taken.at, changes.events
    FROM summary
    LEFT JOIN taken ON true
    LEFT JOIN headrace.changes AS changes ON changes.transaction = taken.transaction AND changes.number = taken.number
    ORDER BY taken.transaction, taken.number
    """
)
# Whoever writes after `at` has a later id than whoever had written long before it.
_LONG_BEFORE: Final = text(
    """
    SELECT CAST(gone.transaction AS text) AS gone_transaction, gone.number AS gone_number, gone.at AS gone_at,
        CAST(earlier.transaction AS text) AS transaction, earlier.number, clock_timestamp() AS now
    FROM headrace.forgotten AS gone
    LEFT JOIN LATERAL (
        SELECT transaction, number FROM headrace.changes WHERE at < CAST(:at AS timestamptz) ORDER BY at DESC LIMIT 1
    ) AS earlier ON true
    WHERE gone.what = 'changes'
    """
)


class Horizon(NamedTuple):
    """All rows of transactions before `transaction` can be seen. `oldest` is under way in the whole server; `next` was not given yet."""

    transaction: int
    oldest: int
    next: int

    @property
    def held_back(self) -> bool:
        """Something is under way that may bring rows."""
        return self.transaction < self.next


class Start(NamedTuple):
    """Where a reader begins who asks for changes since a time; `missed`: some of them are no longer kept."""

    point: Point
    missed: bool
    now: Micros


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the rows is wanted."""

    subject: str | None = None
    since: Micros = NEVER
    """Rows written before are left out."""


ALL: Final = Asked()


@dataclass(frozen=True, slots=True)
class Page:
    """Rows wanted, in order. `end`: how far this page has looked; `more`: there may be others before the horizon."""

    changes: Sequence[Change]
    end: Point
    more: bool
    forgotten: Point
    """Rows up to here are no longer kept: who comes from before it may have missed some."""


class Changes:
    """All methods raise Retryable errors of the database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def horizon(self, *, careful: bool = False) -> Horizon:
        """How far may be read. `careful` looks at the server's locks, too."""
        (row,) = await self._ask(_CAREFUL_HORIZON if careful else _HORIZON, {})
        return Horizon(int(row.horizon), int(row.oldest), int(row.next))

    async def page(self, after: Point, until: int, asked: Asked = ALL, most: int = PAGE_ROWS) -> Page:
        """From `after` on, before the transaction `until`, which a horizon said. The first row looked at may be wholly behind `after`."""
        values = {
            "transaction": str(after.transaction),
            "number": after.number,
            "events": after.events,
            "until": str(until),
            "most": most + 1,
            "bytes": PAGE_BYTES,
            "subject": asked.subject,
            "since": to_datetime(asked.since),
        }
        rows = await self._ask(_PAGE, values)
        changes = [_change(row) for row in rows if row.transaction is not None]
        return _page(rows[0], changes, (after, until), full=rows[0].looked_at > most)

    async def since(self, at: Micros) -> Start:
        """Before every row written at or after `at`; rows written before it may lie behind that, too."""
        (row,) = await self._ask(_LONG_BEFORE, {"at": to_datetime(Micros(max(0, at - LONGEST_SECONDS * 1_000_000)))})
        gone = _behind(row.gone_transaction, row.gone_number)
        found = gone if row.transaction is None else Point(int(row.transaction), row.number)
        missed = gone > Point(0) and from_datetime(row.gone_at) >= at
        return Start(max(found, gone), missed, from_datetime(row.now))

    async def _ask(self, statement: Any, values: dict[str, Any]) -> Sequence[Any]:
        with database_errors():
            async with self._engine.connect() as connection:
                return (await connection.execute(statement, values)).all()


def _change(row: Any) -> Change:
    return Change(
        int(row.transaction),
        row.number,
        StreamId(row.stream),
        Version(row.first_version),
        Version(row.last_version),
        row.subject,
        from_datetime(row.at),
        row.events,
    )


def _page(summary: Any, changes: Sequence[Change], asked: tuple[Point, int], *, full: bool) -> Page:
    after, until = asked
    if summary.left_over and changes:
        end = changes[-1].end
    elif full:
        end = Point(int(summary.final_transaction), summary.final_number, summary.final_events)
    else:
        end = Point(until)
    more = bool(summary.left_over) or full
    return Page(changes, max(after, end), more, _behind(summary.gone_transaction, summary.gone_number))


def _behind(transaction: str, number: int) -> Point:
    """Behind all of a row that nobody can count any more."""
    return Point(int(transaction), number, MOST_EVENTS if number else 0)


@asynccontextmanager
async def open_changes(settings: Settings) -> AsyncIterator[Changes]:
    """On connections of its own, so that those who catch up never keep queries waiting."""
    engine = open_engine(settings, CONTROL_SCHEMA, FOLLOWING)
    try:
        yield Changes(engine)
    finally:
        await engine.dispose()
