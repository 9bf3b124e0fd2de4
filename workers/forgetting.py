"""Beside the projector "rds": the feed of changes forgets what it need not keep any longer."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from readmodel.feed_pruning import AT_ONCE, prune
from runtime import logs
from runtime.errors import Retryable
from runtime.lifecycle import ended
from runtime.metrics import FEED_PRUNED

EVERY_SECONDS: Final = 10.0
BREATH_SECONDS: Final = 0.05
"""Between two deletes when there is more: the projector's own work goes first."""
_LOG: Final = logs.get("pruning")


@asynccontextmanager
async def pruning(engine: AsyncEngine, seconds: int) -> AsyncIterator[None]:
    """While inside, rows older than so many seconds go; also those written before the feed was switched off (0)."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_prune(engine, seconds))
        try:
            yield
        finally:
            await ended(task)


async def _prune(engine: AsyncEngine, seconds: int) -> None:
    while True:
        try:
            gone = await prune(engine, seconds)
        except Retryable as away:
            _LOG.warning("changes not pruned", action="prune", error=str(away))
            gone = 0
        FEED_PRUNED.inc(gone)
        pause = BREATH_SECONDS if gone >= AT_ONCE else EVERY_SECONDS * (0.5 + random.random())  # noqa: S311 - jitter
        await asyncio.sleep(pause)
