"""One rebuild at a time: a lock that PostgreSQL lets go of when its holder's connection ends, however it ended."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from readmodel.control import CONTROL_SCHEMA
from readmodel.database import FOLLOWING, database_errors, open_engine
from runtime.errors import Fatal
from runtime.settings import Settings

_LOCK: Final = 4_815_162_343  # beside that of `readmodel.schema.migrate`


class AnotherRebuild(Fatal):
    """Somebody else is at it."""


class Alone:
    """While it is `held`, nobody else rebuilds."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def check(self) -> None:
        """Raises DatabaseUnavailable when the connection, and with it the lock, is gone."""
        with database_errors():
            await self._connection.execute(select(1))


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
            yield Alone(connection)
        finally:
            await connection.close()
    finally:
        await engine.dispose()
