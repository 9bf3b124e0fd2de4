"""Redis clients with bounded waits. Redis is never authoritative: every caller must know what to do without it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from runtime.settings import Settings

SOCKET_SECONDS: Final = 1.0


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis]:
    """A client that connects when first used and never retries by itself."""
    client = Redis.from_url(
        settings.redis_url,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 0),
        max_connections=32,
    )
    try:
        yield client
    finally:
        await client.aclose()
