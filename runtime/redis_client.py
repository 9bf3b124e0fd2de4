"""Redis clients with bounded waits. Redis is never authoritative: every caller must know what to do without it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from runtime.settings import Settings

SOCKET_SECONDS: Final = 1.0


class QuickConnection(Connection):
    """Packs a command three times as fast as the library does, which cares for memory views and megabytes. Of `redis://` only."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """In the Redis protocol, in one piece. The first may be several words, as in `CLIENT SETINFO`."""
        words = args[0].encode().split() if isinstance(args[0], str) else args[0].split()
        parts = [b"*%d\r\n" % (len(words) + len(args) - 1)]
        encode: Callable[[Any], bytes] = self.encoder.encode
        for each in (*words, *args[1:]):
            packed = each.encode() if type(each) is str else each if type(each) is bytes else encode(each)
            parts.append(b"$%d\r\n%b\r\n" % (len(packed), packed))
        return [b"".join(parts)]


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis]:
    """A client that connects when first used and never retries by itself."""
    client = Redis.from_url(
        settings.redis_url,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 0),
        max_connections=32,
        connection_class=QuickConnection,
    )
    try:
        yield client
    finally:
        await client.aclose()
