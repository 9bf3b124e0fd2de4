"""Redis before PostgreSQL: look, and on a miss load and fill. Without Redis: PostgreSQL alone.

A miss takes the key's fill lease; whoever has it fills, all others wait a moment for the fill and then read PostgreSQL without
filling. Within this process readers of the same thing share looks and loads (`flights`).
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from readmodel.cache import LEASE_MS, Cache
from readmodel.database import Database, database_errors
from readmodel.entries import Entry, encode, ttl_ms
from readmodel.errors import CacheUnavailable, DatabaseUnavailable, ReadsUnavailable
from readmodel.flights import Flights

Load = Callable[[AsyncConnection], Awaitable[tuple[int, Any]]]
Read = Callable[[bytes], Entry | None]
DEADLINE_SECONDS: Final = 4.0
MOST_IN_VAIN: Final = 10_000
MOST_FLIGHTS: Final = 1_000
"""Under way that others may share; callers who went away leave theirs for up to the deadline."""
FILL_PAUSES: Final = (0.005, 0.01, 0.02, 0.04, 0.08)
"""Seconds between looks at a key that somebody else is filling; then PostgreSQL is asked without a fill ..."""
FILL_SECONDS: Final = 0.15
"""... or for as long in all, however slow the looks are."""


@dataclass(slots=True)
class Looked:
    """What Redis had: an entry; or none, and the nonce under which one of those who looked may fill (empty: nobody may)."""

    entry: Entry | None = None
    nonce: str = ""

    def take(self) -> str:
        """The nonce, once."""
        nonce, self.nonce = self.nonce, ""
        return nonce


class Tiers:
    """One generation's cache and database."""

    def __init__(self, database: Database, cache: Cache) -> None:
        self.database, self.cache = database, cache
        self._looks: Flights[Looked] = Flights(MOST_FLIGHTS)
        self._in_vain: OrderedDict[str, float] = OrderedDict()
        """Keys whose fill was waited for, and did not come; until when its lease may be out."""
        self._loads: Flights[tuple[int, Any]] = Flights(MOST_FLIGHTS)

    async def look(self, key: str, read: Read) -> Looked:
        """Never raises: Redis away is a miss that nobody fills. It begins after this was called, and readers share it."""
        return await self._looks.join(key, lambda: self._look(key, read))

    async def _look(self, key: str, read: Read) -> Looked:
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
        began = monotonic()
        if self._in_vain.get(key, began) > began:
            return Looked()
        for seconds in FILL_PAUSES:
            await asyncio.sleep(seconds)
            nonce = secrets.token_hex(8)
            value, leased = await self.cache.look(key, nonce)
            entry = read(value) if value is not None else None
            if entry is not None or leased:
                return Looked(entry, "" if entry else nonce)
            if monotonic() - began >= FILL_SECONDS:
                break
        self._give_up(key)
        return Looked()

    def _give_up(self, key: str) -> None:
        """Whoever has the lease has lost it, or is slow: nobody waits for that again until it is over."""
        self._in_vain[key] = monotonic() + LEASE_MS / 1000
        self._in_vain.move_to_end(key)
        if len(self._in_vain) > MOST_IN_VAIN:
            self._in_vain.popitem(last=False)

    async def load(self, key: str, looked: Looked, load: Load) -> tuple[int, Any]:
        """From PostgreSQL, by a statement that begins after this was called; filled when the lease is ours."""
        nonce = looked.take()
        if nonce:
            return await self._loads.begin(key, lambda: self._load(key, nonce, load))
        return await self._loads.join(key, lambda: self._load(key, "", load))

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
        await self._looks.close()
        await self._loads.close()
        await self.cache.close()
