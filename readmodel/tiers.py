"""Redis before PostgreSQL: look, and on a miss load and fill. Without Redis: PostgreSQL alone.

A miss takes the key's fill lease; whoever has it fills, all others read PostgreSQL without filling. Within this process,
readers of the same thing at the same time share one load.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from readmodel.cache import Cache
from readmodel.database import Database, database_errors
from readmodel.entries import Entry, encode, ttl_ms
from readmodel.errors import CacheUnavailable, DatabaseUnavailable, ReadsUnavailable

Load = Callable[[AsyncConnection], Awaitable[tuple[int, Any]]]
Read = Callable[[bytes], Entry | None]
DEADLINE_SECONDS: Final = 4.0
FILL_PAUSES: Final = (0.005, 0.01, 0.02, 0.04)
"""Seconds between looks at a key that somebody else is filling; then PostgreSQL is asked without a fill."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What Redis had: an entry; or none, and the nonce under which we may fill (empty: we may not)."""

    entry: Entry | None = None
    nonce: str = ""


class Tiers:
    """One generation's cache and database."""

    def __init__(self, database: Database, cache: Cache) -> None:
        self.database, self.cache = database, cache
        self._flights: dict[str, asyncio.Task[tuple[int, Any]]] = {}

    async def look(self, key: str, read: Read) -> Looked:
        """Never raises: Redis away is a miss that nobody fills."""
        nonce = secrets.token_hex(8)
        with suppress(CacheUnavailable):
            value, leased = await self.cache.look(key, nonce)
            if value is not None:
                entry = read(value)
                if entry is not None:
                    return Looked(entry)
                await self.cache.drop([key])  # unreadable: as if it were not there
                value, leased = await self.cache.look(key, nonce)
            if leased and value is None:
                return Looked(None, nonce)
            return await self._awaited(key, read)
        return Looked()

    async def _awaited(self, key: str, read: Read) -> Looked:
        """Somebody else is filling: the projector behind a write, or another reader. Mostly done within a moment."""
        for seconds in FILL_PAUSES:
            await asyncio.sleep(seconds)
            nonce = secrets.token_hex(8)
            value, leased = await self.cache.look(key, nonce)
            entry = read(value) if value is not None else None
            if entry is not None or leased:
                return Looked(entry, "" if entry else nonce)
        return Looked()

    async def load(self, key: str, looked: Looked, load: Load, *, shared: bool) -> tuple[int, Any]:
        """From PostgreSQL, filled when the lease is ours. `shared`: any load under way will do; with tokens it will not."""
        if not shared:
            return await self._load(key, looked.nonce, load)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(self._load(key, looked.nonce, load))
            flight.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(flight)

    def _landed(self, key: str, flight: asyncio.Task[tuple[int, Any]]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # whoever waited has it; nobody may have

    async def _load(self, key: str, nonce: str, load: Load) -> tuple[int, Any]:
        version, view = await self.ask(load)
        if nonce:
            with suppress(CacheUnavailable):
                await self.cache.fill(key, nonce, encode(version, view), ttl_ms(version, key))
        return version, view

    async def ask(self, question: Callable[[AsyncConnection], Awaitable[Any]]) -> Any:
        """One read of PostgreSQL. Raises ReadsUnavailable."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                try:
                    return await self._ask(question)
                except DatabaseUnavailable:  # perhaps only this connection was dead: the pool has thrown away its like
                    return await self._ask(question)
        except (DatabaseUnavailable, TimeoutError) as wrong:
            raise ReadsUnavailable(type(wrong).__name__) from wrong

    async def _ask(self, question: Callable[[AsyncConnection], Awaitable[Any]]) -> Any:
        with database_errors():
            async with self.database.engine.connect() as connection:
                return await question(connection)

    async def close(self) -> None:
        """End the loads under way."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
