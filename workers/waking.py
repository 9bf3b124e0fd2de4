"""A wake-up call over Redis: waiting for work without asking for it all the time. Lost calls cost latency, nothing else."""

import asyncio
import random
from time import monotonic
from typing import TYPE_CHECKING, Final

import redis.exceptions

from runtime import logs
from runtime.lifecycle import any_set, backoff, pause, unless_stopped

if TYPE_CHECKING:
    from redis.asyncio import Redis

LISTEN_SECONDS: Final = 5.0
CALL_SECONDS: Final = 0.05
_LOG: Final = logs.get("waking")


class Waker:
    """`event` is set by every message on the channel."""

    def __init__(self, client: "Redis", channel: str) -> None:
        self._client, self._channel = client, channel
        self._event = asyncio.Event()
        self.last_called = 0.0
        self.listening = False
        """Whether a call would be heard now."""

    async def wait(self, stop: asyncio.Event, seconds: float) -> None:
        """Until called, stopped, or `seconds` are over."""
        try:
            await any_set(seconds, self._event, stop)
        finally:
            self._event.clear()

    async def listen(self, stop: asyncio.Event) -> None:
        """Until `stop`; reconnects for ever, with a growing pause."""
        failures = 0
        while not stop.is_set():
            try:
                await self._subscribed(stop)
                failures = 0
            except (redis.exceptions.RedisError, OSError) as wrong:
                self.listening = False
                failures += 1
                _LOG.warning("not listening", action="listen", error=type(wrong).__name__, failures=failures)
                await pause(stop, backoff(failures, random.random()))  # noqa: S311 - jitter

    async def _subscribed(self, stop: asyncio.Event) -> None:
        async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(self._channel)
            self.listening = True
            while not stop.is_set():
                message = await unless_stopped(stop, subscription.get_message(timeout=LISTEN_SECONDS))
                if message is not None:
                    self.last_called = monotonic()
                    self._event.set()


async def call(client: "Redis", channel: str) -> None:
    """Wake whoever waits on the channel: best effort, never more than 50 ms."""
    try:
        async with asyncio.timeout(CALL_SECONDS):
            await client.publish(channel, b"1")
    except (redis.exceptions.RedisError, TimeoutError, OSError) as wrong:
        _LOG.warning("nobody called", action="call", channel=channel, error=type(wrong).__name__)
