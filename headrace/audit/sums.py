"""What all events add to tables of sums, by key: gathered in bounded memory, then held against the tables. I6."""

import pickle
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from sqlalchemy import Table

from headrace.audit.findings import Noted
from headrace.audit.spool import Spool
from readmodel.canonical import differences, expected_row
from readmodel.projection import Delta

MOST_KEYS: Final = 20_000
"""In memory; a key that comes again after they were put aside is added up in the end."""
_DOUBTS: Final = 3
_KEY: Final = msgspec.json.Encoder(enc_hook=repr)


@dataclass(slots=True)
class _Sum:
    add: dict[str, int] = field(default_factory=dict)
    highest: dict[str, Any] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    """Streams it rests on that are broken in the store."""

    def merge(self, other: "_Sum") -> None:
        for column, number in other.add.items():
            self.add[column] = self.add.get(column, 0) + number
        for column, value in other.highest.items():
            if column not in self.highest or value > self.highest[column]:
                self.highest[column] = value
        self.doubts = (self.doubts + other.doubts)[:_DOUBTS]


class Sums:
    """`add` and `doubt` at once; `make_room` between them, where there is time."""

    def __init__(self, spool: Spool, tables: Sequence[Table], most: int = MOST_KEYS) -> None:
        self._spool, self._tables, self._most = spool, list(tables), most
        self._numbers = {table: number for number, table in enumerate(self._tables)}
        self._sums: dict[tuple[Table, Any], _Sum] = {}

    def add(self, delta: Delta) -> None:
        found = self._of(delta)
        for column, number in delta.add.items():
            found.add[column] = found.add.get(column, 0) + number
        for column, value in delta.highest.items():
            if column not in found.highest or value > found.highest[column]:
                found.highest[column] = value

    def doubt(self, delta: Delta, stream: str) -> None:
        found = self._of(delta)
        if len(found.doubts) < _DOUBTS:
            found.doubts.append(stream)

    def _of(self, delta: Delta) -> _Sum:
        key = (delta.table, delta.key)
        found = self._sums.get(key)
        if found is None:
            found = self._sums[key] = _Sum()
        return found

    async def make_room(self) -> None:
        """Put them aside when they are many."""
        if len(self._sums) > self._most:
            await self._aside()

    async def _aside(self) -> None:
        rows = [
            (self._numbers[table], _encoded(key if isinstance(key, tuple) else (key,)), pickle.dumps(value))
            for (table, key), value in self._sums.items()
        ]
        self._sums.clear()
        await self._spool.put("INSERT INTO sums VALUES (?, ?, ?)", rows)

    async def add_up(self) -> None:
        """Everything was added: one total a key."""
        await self._aside()
        key, total = (-1, b""), _Sum()
        async for page in self._spool.rows("SELECT tab, key, value FROM sums ORDER BY tab, key"):
            totals = []
            for table, of, value in page:
                if (table, of) != key:
                    totals.append((*key, pickle.dumps(total)))
                    key, total = (table, of), _Sum()
                total.merge(pickle.loads(value))  # noqa: S301 - our own, from a file that nobody else can open
            await self._put(totals)
        await self._put([(*key, pickle.dumps(total))])

    async def _put(self, totals: Sequence[tuple[int, bytes, bytes]]) -> None:
        await self._spool.put("INSERT INTO totals VALUES (?, ?, ?)", [each for each in totals if each[0] >= 0])

    async def compare(self, table: Table, rows: AsyncIterator[list[dict[str, Any]]], noted: Noted) -> None:
        """Each row against its total; then what has a total and no row."""
        number, names = self._numbers[table], table.primary_key.columns.keys()
        async for page in rows:
            keys = [tuple(row[name] for name in names) for row in page]
            totals = await self._take(number, [_encoded(key) for key in keys])
            for row, key, total in zip(page, keys, totals, strict=True):
                wanted = None if total is None else expected_row(table, key, total.add, total.highest)
                noted.note_all("I6", label(table, key), _told(differences(wanted, row), total))
        async for left in self._spool.rows("SELECT key, value FROM totals WHERE tab = ?", (number,)):
            for key, value in left:
                total = pickle.loads(value)  # noqa: S301 - our own
                noted.note_all("I6", label(table, msgspec.json.decode(key)), _told(["no row"], total))

    async def _take(self, number: int, keys: Sequence[bytes]) -> list[_Sum | None]:
        """The totals of these keys, which are then forgotten."""
        find, forget = "SELECT value FROM totals WHERE tab = ? AND key = ?", "DELETE FROM totals WHERE tab = ? AND key = ?"

        def take(connection: Any) -> list[Any]:
            found = [connection.execute(find, (number, key)).fetchone() for key in keys]
            connection.executemany(forget, [(number, key) for key in keys])
            return found

        return [None if each is None else pickle.loads(each[0]) for each in await self._spool.run(take)]  # noqa: S301 - our own


def label(table: Table, key: Sequence[Any]) -> str:
    """How a row of sums is named in a difference."""
    return f"{table.name} {'/'.join(map(str, key))}"


def _told(details: Sequence[str], total: _Sum | None) -> list[str]:
    if total is None or not total.doubts:
        return list(details)
    return [f"{each} ({', '.join(total.doubts)} is broken in the store)" for each in details]


def _encoded(key: tuple[Any, ...]) -> bytes:
    return _KEY.encode(key)
