"""One rebuild at a time: a lock that PostgreSQL lets go of when its holder's connection ends, however it ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from readmodel.control import CONTROL_SCHEMA
from readmodel.database import FOLLOWING, database_errors, open_engine
from readmodel.errors import DatabaseUnavailable
from runtime.errors import Fatal
from runtime.lifecycle import ended
from runtime.settings import Settings

BEAT_SECONDS: Final = 30.0
_LOCK: Final = 4_815_162_343  # beside that of `readmodel.schema.migrate`


class AnotherRebuild(Fatal):
    """Somebody else is at it."""


class Alone:
    """While it is `held`, nobody else rebuilds."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._asking = asyncio.Lock()

    async def check(self) -> None:
        """Raises DatabaseUnavailable when the connection, and with it the lock, is gone."""
        async with self._asking:
            with database_errors():
                await self._connection.execute(select(1))

    async def keep(self) -> None:
        """Until cancelled, or until the lock is gone, which the next `check` says. A scan takes hours; what is idle is cut on the way."""
        with suppress(DatabaseUnavailable):
            while True:
                await asyncio.sleep(BEAT_SECONDS)
                await self.check()


@asynccontextmanager
async def alone(settings: Settings) -> AsyncIterator[Alone]:
    """Raises AnotherRebuild at once."""
    engine = open_engine(settings, CONTROL_SCHEMA, FOLLOWING)
    try:
        with database_errors():
            connection = await engine.connect()
        try:
            with database_errors():
                taken = (await connection.execute(select(func.pg_try_advisory_lock(_LOCK)))).scalar_one()
            if not taken:
                raise AnotherRebuild("another rebuild, rollback or drop is under way")
            held = Alone(connection)
            keeping = asyncio.create_task(held.keep())
            try:
                yield held
            finally:
                await ended(keeping)
        finally:
            await connection.close()
    finally:
        await engine.dispose()
