"""What an audit puts aside while it reads: on disk, in a file without a name that is gone with the process however it ends.

Memory stays the same whatever the store holds; the disk needs about twice what the store's commits take (`TMPDIR` says where, else
what SQLite finds: /var/tmp, /tmp). One thread does all of it, since SQLite waits for the disk.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, TypeVar

_T = TypeVar("_T")
PAGE: Final = 1_000
PAGE_BYTES: Final = 4_000_000
_KIB: Final = 16 * 1024
"""SQLite's cache, and what it sorts in memory at once."""
_TABLES: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
CREATE TABLE commits (stream TEXT, first INTEGER, last INTEGER, previous INTEGER, at INTEGER, settled TEXT, events BLOB);
CREATE TABLE heads (stream TEXT PRIMARY KEY, last INTEGER, at INTEGER) WITHOUT ROWID;
CREATE TABLE late (projector TEXT, stream TEXT, version INTEGER, PRIMARY KEY (projector, stream)) WITHOUT ROWID;
CREATE TABLE tails (stream TEXT PRIMARY KEY, version INTEGER, wanted INTEGER) WITHOUT ROWID;
CREATE TABLE suspects (projector TEXT, stream TEXT, version INTEGER, PRIMARY KEY (projector, stream)) WITHOUT ROWID;
CREATE TABLE stale (key TEXT PRIMARY KEY, version INTEGER) WITHOUT ROWID;
CREATE TABLE sums (tab INTEGER, key BLOB, value BLOB);
CREATE TABLE totals (tab INTEGER, key BLOB, value BLOB, PRIMARY KEY (tab, key)) WITHOUT ROWID;
"""


class Kept(NamedTuple):
    """A commit as it is put aside. `events` None: an item that cannot be read, `settled` says why."""

    stream: str
    first: int
    last: int
    previous: int
    at: int
    """Of its last event; 0 where nobody asks."""
    settled: str | None
    events: bytes | None


class Spool:
    """See `open_spool`. Rows go in and come out a page at a time."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection, self._thread = connection, thread

    async def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """In the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._connection)

    async def put(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """The same statement for each row."""
        if rows:
            await self.run(lambda connection: connection.executemany(statement, rows))

    async def rows(self, statement: str, values: Sequence[Any] = (), size: int = PAGE) -> AsyncIterator[list[Any]]:
        """Pages of what a query finds, bounded by rows and by bytes of the last column."""
        cursor = await self.run(lambda connection: connection.execute(statement, values))
        while page := await self.run(lambda _: _page(cursor, size)):
            yield page

    async def one(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """The first row."""
        return await self.run(lambda connection: connection.execute(statement, values).fetchone())

    async def keep(self, commits: Sequence[Kept]) -> None:
        """In any order."""
        await self.put("INSERT INTO commits VALUES (?, ?, ?, ?, ?, ?, ?)", commits)

    async def find_heads(self) -> None:
        """Once all commits are kept: how far each stream is. (Of a group, SQLite takes the other columns from the row of the maximum.)"""
        found = "SELECT stream, max(last), at FROM commits GROUP BY stream ORDER BY stream"
        await self.run(lambda connection: connection.execute(f"INSERT INTO heads {found}"))

    async def commits(self) -> AsyncIterator[list[Kept]]:
        """By stream, in order."""
        wanted = "SELECT stream, first, last, previous, at, settled, events FROM commits ORDER BY stream, first"
        async for page in self.rows(wanted):
            yield [Kept(*row) for row in page]

    async def count(self, table: str) -> int:
        return int((await self.one(f"SELECT count(*) FROM {table}"))[0])  # noqa: S608 - a name of ours

    async def clear(self, table: str) -> None:
        await self.run(lambda connection: connection.execute(f"DELETE FROM {table}"))  # noqa: S608 - a name of ours


def _page(cursor: sqlite3.Cursor, size: int) -> list[Any]:
    found: list[Any] = []
    room = PAGE_BYTES
    while len(found) < size and room > 0:
        few = cursor.fetchmany(min(50, size - len(found)))
        if not few:
            break
        found += few
        room -= sum(len(row[-1]) for row in few if isinstance(row[-1], bytes))
    return found


@asynccontextmanager
async def open_spool() -> AsyncIterator[Spool]:
    """Empty."""
    with ThreadPoolExecutor(1, "spool") as thread:
        loop = asyncio.get_running_loop()
        connection = await loop.run_in_executor(thread, _open)
        try:
            yield Spool(connection, thread)
        finally:
            connection.interrupt()
            await loop.run_in_executor(thread, connection.close)


def _open() -> sqlite3.Connection:
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    connection.executescript(f"PRAGMA cache_size = -{_KIB};{_TABLES}")
    connection.execute("BEGIN")  # one transaction for all: nothing is ever taken back
    return connection
