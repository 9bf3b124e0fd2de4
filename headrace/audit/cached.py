"""I7: what Redis holds is never newer than PostgreSQL, says the same at the same version, and does not stay behind.

Each value is read before the row it is made of, and rows only move on: so what is then ahead is ahead, and what has the row's own
version must say what the row says. What is behind may be a refresh under way: it is looked at again, and must by then have come to
where the row was, however much the row has moved on. A value that nobody could read is a miss, and no difference.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from sqlalchemy import Table

from headrace.audit.arrivals import FIRST_PAUSE, LAST_PAUSE, Patience
from headrace.audit.findings import Noted
from headrace.audit.spool import Spool
from readmodel.auditing import ABSENT, Values, in_database, snapshot
from readmodel.comments.cached import READ_COMMENT, READ_NEWEST, READ_PICTURE, Found
from readmodel.comments.tables import PICTURES
from readmodel.control import CACHE, POSITIONS
from readmodel.database import Database
from readmodel.entries import Entry, encode

if TYPE_CHECKING:
    from redis.asyncio import Redis

READERS: Final[dict[str, Callable[[bytes], Entry | None]]] = {"comment": READ_COMMENT, "picture": READ_PICTURE, "newest": READ_NEWEST}
MANY: Final = {"comment": 500, "picture": 500, "newest": 25}
"""Values a call: a list has up to 100 comments."""
_LISTED: Final[Table] = PICTURES
"""The table by whose rows a picture's values are named."""


class Cached:
    """The values under one prefix."""

    def __init__(self, client: "Redis", prefix: str, database: Database, noted: Noted) -> None:
        self._values, self._prefix, self._database, self._noted = Values(client, prefix), prefix, database, noted

    async def check(self, spool: Spool, told: Callable[[int], None]) -> None:
        """All of them once; those behind are put aside in `stale`."""
        async for keys in self._values.keys():
            for part in self._parts(keys):
                await spool.put("INSERT OR IGNORE INTO stale VALUES (?, ?)", await self._behind(part))
                told(len(part))

    def _parts(self, keys: Sequence[str]) -> Iterator[list[str]]:
        """By kind; other kinds are not ours."""
        for kind, many in MANY.items():
            mine = [key for key in keys if self._parted(key)[0] == kind]
            yield from (mine[start : start + many] for start in range(0, len(mine), many))

    def _parted(self, key: str) -> tuple[str, str]:
        """(kind, name)."""
        kind, _, name = key.removeprefix(self._prefix).partition(":")
        return kind, name

    async def _behind(self, keys: Sequence[str]) -> list[tuple[str, int]]:
        """(key, version in PostgreSQL) of those that are older."""
        versions = await self._values.versions(keys)
        values = await self._values.whole(keys)
        there = await in_database(self._database, self._prefix, keys)
        behind = []
        for key, version, value in zip(keys, versions, values, strict=True):
            if version is None or version == ABSENT:
                continue
            if version < there[key][0]:
                behind.append((key, there[key][0]))
            else:
                self._hold(key, version, value, there[key])
        return behind

    def _hold(self, key: str, version: int, value: bytes | None, there: Found) -> None:
        """Not older than PostgreSQL."""
        if version > there[0]:
            self._note(key, f"Redis holds {key} at version {version}, PostgreSQL is at {there[0]}")
            return
        kind, _ = self._parted(key)
        entry = READERS[kind](value) if value is not None else None
        if entry is None or entry.version != version:  # unreadable, or meanwhile another
            return
        if encode(entry.version, entry.view) != encode(*there):
            self._note(key, f"Redis holds {key} at version {version} with other content than PostgreSQL's")

    def _note(self, key: str, detail: str) -> None:
        kind, name = self._parted(key)
        self._noted.note("I7", name if kind == "comment" else f"{_LISTED.name} {name}", detail)

    async def wait(self, spool: Spool, patience: Patience) -> bool:
        """Until nothing is behind what PostgreSQL had when it was first looked at, or patience ends. Whether there was any patience."""
        pause, waited = FIRST_PAUSE, False
        while await spool.count("stale") and patience.left > 0:
            await patience.pause(pause)
            pause, waited = min(2 * pause, LAST_PAUSE), True
            await self._look(spool)
        return waited

    async def _look(self, spool: Spool) -> None:
        async for page in spool.rows("SELECT key, version FROM stale"):
            versions = await self._values.versions([key for key, _ in page])
            fresh = [(key,) for (key, wanted), at in zip(page, versions, strict=True) if at is None or at == ABSENT or at >= wanted]
            await spool.put("DELETE FROM stale WHERE key = ?", fresh)

    async def tell(self, spool: Spool, *, still: bool) -> None:
        """What is behind in the end, though the cache projector says of the comment that it has passed it.

        Of pictures it says nothing; theirs count when all is `still`: they were waited for, and no stream is late.
        """
        async with snapshot(self._database) as now:
            async for page in spool.rows("SELECT key, version FROM stale"):
                comments = [name for kind, name in (self._parted(key) for key, _ in page) if kind == "comment"]
                passed = await now.versions(POSITIONS, comments, CACHE)
                for key, wanted in page:
                    kind, name = self._parted(key)
                    if passed.get(name, 0) >= wanted if kind == "comment" else still:
                        self._note(key, f"Redis holds {key} older than version {wanted}, which PostgreSQL has")
