"""When rows became visible: PostgreSQL's own time of the commit that wrote them, whoever wrote them."""

import asyncio
import time
from typing import Final

import asyncpg

from headrace.errors import StackFailed
from loadtest.bench.job import Job, bounds

STALLED_SECONDS: Final = 60.0
"""Without one more row in so long, the rest will not come."""
_LOOK_SECONDS: Final = 0.1


class Rows:
    """A table of comments in a database; `table` and the columns' names are ours, never a user's."""

    def __init__(self, connection: "asyncpg.Connection", table: str, submitted: str = "NULL::float8") -> None:
        between = f"FROM {table} WHERE comment_id >= $1 AND comment_id < $2"
        self._connection = connection
        self._count = f"SELECT count(*) {between}"
        self._times = f"SELECT comment_id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8, {submitted} {between}"  # noqa: S608 - ours

    async def until_all(self, job: Job) -> tuple[dict[str, float], dict[str, float]]:
        """(visible, submitted) by comment id once all are there; submitted is empty where rows do not tell. Raises StackFailed."""
        seen, moved = 0, time.monotonic()
        while seen < job.count:
            found = await self._connection.fetchval(self._count, *bounds(job))
            if found > seen:
                seen, moved = found, time.monotonic()
            elif time.monotonic() - moved > STALLED_SECONDS:
                raise StackFailed(f"{seen} of {job.count} comments are visible, and no more for {STALLED_SECONDS:g} s")
            else:
                await asyncio.sleep(_LOOK_SECONDS)  # the times are PostgreSQL's: looking seldom costs no precision
        rows = await self._connection.fetch(self._times, *bounds(job))
        visible = {row[0]: row[1] for row in rows}
        if len(visible) != job.count or None in visible.values():
            raise StackFailed(f"{len(visible)} rows for {job.count} comments, or one without a commit time")
        return visible, {row[0]: row[2] for row in rows if row[2] is not None}
