"""Letting parked streams go: their commits are applied from the store in order, and Redis follows."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from events.ids import StreamId
from readmodel.applying import Applied
from readmodel.parking import unpark
from readmodel.projecting import Projecting
from readmodel.refreshing import Refresher


async def redrive(engine: AsyncEngine, projecting: Projecting, refresher: Refresher, streams: Sequence[StreamId]) -> Applied:
    """A stream that still cannot be applied is parked again, in `parked`. Raises Retryable; repeating it does no harm.

    The cache projector has long passed these commits, so the refresh is done here.
    """
    await unpark(engine, streams)
    applied = await projecting.catch_up(streams)
    await refresher.refresh(await refresher.reached(streams))
    return applied
