"""Keeping Redis no older than PostgreSQL: after a change, what Redis holds of it is read again and put over the older value.

The order of steps is what makes it right. (1) PostgreSQL covers the change. (2) One call finds which keys are held or have a
fill under way, and takes those fills' leases over. (3) Their rows are read. (4) They are put by compare-and-set, only where
still held or under our lease. A query that misses after (2) reads PostgreSQL after (1), so it sees the change; one that missed
before (2) has lost its lease. Nothing older can be put after (4), and nothing at all is put where nobody asked.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from events.domain import Registry
from events.ids import StreamId
from readmodel.cache import Cache
from readmodel.comments.cached import keys_of, load_keys
from readmodel.control import CACHE, POSITIONS
from readmodel.database import Database, database_errors
from readmodel.entries import encode, ttl_ms
from readmodel.progress import Progress, Reached
from readmodel.writing import write_rows

KEYS_A_CALL: Final = 1_000
VALUES_A_CALL: Final = 50
"""Of up to 100 comments each: what one call carries stays bounded."""


class Refresher:
    """For one generation. Raises DatabaseUnavailable or CacheUnavailable (Retryable); repeating it does no harm."""

    def __init__(self, database: Database, cache: Cache, registry: Registry) -> None:
        self._engine, self._cache = database.engine, cache
        self._progress = Progress(registry, database.generation)

    async def reached(self, streams: Sequence[StreamId]) -> dict[StreamId, Reached]:
        """How far PostgreSQL is."""
        with database_errors():
            async with self._engine.connect() as connection:
                return await self._progress.reached(connection, streams)

    async def refresh(self, passed: Mapping[StreamId, Reached]) -> int:
        """Make Redis no older than these positions, and note that it is. How many values were put."""
        nonce = secrets.token_hex(8)
        put = 0
        for part in _parts(await self._keys(passed), KEYS_A_CALL):
            wanted = [part[place] for place in await self._cache.held(part, nonce)]
            for few in _parts(wanted, VALUES_A_CALL):
                put += await self._put(few, nonce)
        stuck = [stream for stream, reached in passed.items() if reached.stuck]
        if stuck:  # what PostgreSQL has of a parked stream stands still; let nobody believe that it is new
            await self._cache.drop(await self._keys(stuck))
        await self._advance(passed)
        return put

    async def _keys(self, streams: Iterable[StreamId]) -> list[str]:
        with database_errors():
            async with self._engine.connect() as connection:
                return await keys_of(connection, self._cache.prefix, streams)

    async def _put(self, keys: Sequence[str], nonce: str) -> int:
        with database_errors():
            async with self._engine.connect() as connection:
                found = await load_keys(connection, self._cache.prefix, keys)
        values = [(encode(*found[key]), ttl_ms(found[key][0], key)) for key in keys]
        return await self._cache.refresh(keys, nonce, values)

    async def _advance(self, passed: Mapping[StreamId, Reached]) -> None:
        rows: list[dict[str, Any]] = []
        for stream in sorted(passed):
            place = passed[stream].place()
            if place is not None and not passed[stream].cached(place.version):
                rows.append({"projector": CACHE, "stream": stream, **place._asdict()})
        if rows:
            with database_errors():
                async with self._engine.begin() as connection:
                    await write_rows(connection, POSITIONS, rows)


def _parts(keys: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))
