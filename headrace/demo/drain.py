"""Waits until both projectors have passed everything that was applied."""

import asyncio
from time import monotonic
from typing import Final, NamedTuple

from sqlalchemy import func, select

from headrace.demo.progress import Progress
from readmodel.comments.tables import COMMENTS
from readmodel.control import CACHE, POSITIONS
from readmodel.database import AUDITING, Database, database_errors, open_database
from runtime.settings import Settings

STALLED_SECONDS: Final = 75.0
"""Longer than a message stays invisible when its worker was killed."""
_LOOK_SECONDS: Final = 0.1


class Passed(NamedTuple):
    """Events that each projector has passed, over all streams."""

    rds: int
    cache: int


async def passed(settings: Settings) -> Passed:
    """As of now."""
    async with open_database(settings, AUDITING) as database:
        return await _passed(database)


async def until_projected(settings: Settings, before: Passed, events: int, progress: Progress) -> bool:
    """True when both have passed `events` more than `before`; False when nothing has moved for long."""
    seen, moved = 0, monotonic()
    async with open_database(settings, AUDITING) as database:
        while True:
            found = await _passed(database)
            now = min(found.rds - before.rds, events) + min(found.cache - before.cache, events)
            progress.advance(now - seen)
            moved = monotonic() if now > seen else moved
            seen = now
            if now == 2 * events:
                return True
            if monotonic() - moved > STALLED_SECONDS:
                return False
            await asyncio.sleep(_LOOK_SECONDS)


async def _passed(database: Database) -> Passed:
    rds = select(func.coalesce(func.sum(COMMENTS.c.version), 0))
    cache = select(func.coalesce(func.sum(POSITIONS.c.version), 0)).where(POSITIONS.c.projector == CACHE)
    with database_errors():
        async with database.engine.connect() as connection:
            return Passed(int((await connection.execute(rds)).scalar_one()), int((await connection.execute(cache)).scalar_one()))
