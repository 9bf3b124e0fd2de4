"""Changes that are older than they are kept for go, oldest first, in bounded deletes beside the projector's own work.

Only a beginning of the feed ever goes, and up to where is written down in the same transaction: so a reader knows whether it missed
anything. Of several projectors one does it at a time.
"""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from readmodel.database import database_errors

AT_ONCE: Final = 2000
_MINE: Final = text("SELECT what FROM headrace.forgotten WHERE what = 'changes' FOR UPDATE SKIP LOCKED")
# `kept` is the first row that stays: rows are not quite in the order of their times.
_PRUNE: Final = text(
    """
    WITH oldest AS MATERIALIZED (
        SELECT transaction, number, at FROM headrace.changes ORDER BY transaction, number LIMIT :most
    ),
    kept AS (
        SELECT transaction, number FROM oldest
        WHERE at >= clock_timestamp() - make_interval(secs => :seconds) ORDER BY transaction, number LIMIT 1
    ),
    old AS (
        SELECT oldest.* FROM oldest LEFT JOIN kept ON true
        WHERE kept.number IS NULL OR (oldest.transaction, oldest.number) < (kept.transaction, kept.number)
    ),
    gone AS (
        DELETE FROM headrace.changes USING old WHERE changes.transaction = old.transaction AND changes.number = old.number
    ),
    noted AS (
        UPDATE headrace.forgotten SET transaction = final.transaction, number = final.number, at = greatest(forgotten.at, final.latest)
        FROM (
            SELECT transaction, number, max(at) OVER () AS latest FROM old ORDER BY transaction DESC, number DESC LIMIT 1
        ) AS final
        WHERE forgotten.what = 'changes'
    )
    SELECT count(*) FROM old
    """
)


async def prune(engine: AsyncEngine, seconds: float, most: int = AT_ONCE) -> int:
    """How many rows went; `most` of them: there may be others. Raises Retryable."""
    with database_errors():
        async with engine.begin() as connection:
            if (await connection.execute(_MINE)).first() is None:
                return 0
            return int((await connection.execute(_PRUNE, {"seconds": float(seconds), "most": most})).scalar_one())
