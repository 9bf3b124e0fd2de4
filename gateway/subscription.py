"""The workers' notices out of Redis: one subscription a channel."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from redis.asyncio import Redis

SILENCE_SECONDS: Final = 2.0
"""After which the connection is asked whether it still lives."""
ANSWER_SECONDS: Final = 2.0


class RedisNotices:
    """See gateway.outcomes.Notices."""

    def __init__(self, client: "Redis", channel: str) -> None:
        self._client, self._channel = client, channel

    async def listen(self, receive: Callable[[bytes], None], listening: Callable[[], None]) -> None:
        """Until the subscription is lost; a connection that is silent is asked whether it still lives."""
        try:
            await self._listen(receive, listening)
        except RedisError as wrong:
            raise ConnectionError(type(wrong).__name__) from wrong

    async def _listen(self, receive: Callable[[bytes], None], listening: Callable[[], None]) -> None:
        async with self._client.pubsub() as subscription:
            await subscription.subscribe(self._channel)
            asked = False
            while True:
                message = await subscription.get_message(timeout=ANSWER_SECONDS if asked else SILENCE_SECONDS)
                if message is not None:
                    asked = False
                    if message["type"] == "message":
                        receive(message["data"])
                    elif message["type"] == "subscribe":
                        listening()
                elif asked:
                    raise TimeoutError
                else:
                    await subscription.ping()
                    asked = True
