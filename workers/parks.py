"""Counts of parked streams as a projector's gauges: PostgreSQL's own, so that all its processes and `headrace parked` say the same."""

import asyncio
from contextlib import suppress
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from readmodel.parking import count_parks
from runtime import logs
from runtime.errors import Retryable
from runtime.metrics import DISCARDED, PARKED

SECONDS: Final = 10.0
"""Between two counts, where this process parks nothing itself; others do, and operators end and discard parks."""
REASONS: Final = ("fork", "gap", "unreadable", "unknown_event", "upcast_failed", "projection_failed", "unstorable")
_LOG: Final = logs.get("parks")


async def counting(engine: AsyncEngine, projector: str, changed: asyncio.Event) -> None:
    """Until cancelled: at once, whenever `changed` is set, and every ten seconds."""
    while True:
        changed.clear()
        try:
            await count(engine, projector)
        except Retryable as wrong:
            _LOG.warning("parks not counted", action="count", error=str(wrong))
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                await changed.wait()


async def count(engine: AsyncEngine, projector: str) -> None:
    """Raises Retryable, with the gauges as they were."""
    parked, discarded = await count_parks(engine, projector)
    PARKED.clear()  # no reason that nothing is parked for any more
    for reason in (*REASONS, *parked):
        PARKED.labels(reason).set(parked[reason])
    DISCARDED.set(discarded)
