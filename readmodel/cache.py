"""Redis as the read side sees it: four scripts and a GET, bounded waits, one small circuit breaker.

Queries are quick: an answer within 50 ms or Redis counts as away; after a few such answers it is left alone, and once a second a
ping beside them finds out whether it is back, so that no query pays for that. The cache projector is patient: it has the time to
try for itself, and must not go on without an answer.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from importlib.resources import files
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

import redis.exceptions

from readmodel.entries import prefix
from readmodel.errors import CacheUnavailable
from runtime.lifecycle import ended

if TYPE_CHECKING:
    from redis.asyncio import Redis

_T = TypeVar("_T")
QUICK_SECONDS: Final = 0.05
PATIENT_SECONDS: Final = 3.0
AT_ONCE: Final = 24
"""Commands under way at once; the client's pool has 32 connections and refuses the 33rd."""
TRIES: Final = 3
REST_SECONDS: Final = 1.0
LEASE_MS: Final = 3_000
FULL: Final = -1
FAILURES: Final = (redis.exceptions.RedisError, TimeoutError, OSError)


class Breaker:
    """Closed while answers come; open after TRIES failures in a row. Then, every REST_SECONDS, one may try."""

    def __init__(self) -> None:
        self._failures = 0
        self._rests_until = 0.0

    @property
    def closed(self) -> bool:
        """Whether everybody may call."""
        return self._failures < TRIES

    def due(self, now: float) -> bool:
        """Whether the caller is the one that tries; for a while it is nobody else."""
        if now < self._rests_until:
            return False
        self._rests_until = now + REST_SECONDS
        return True

    def answered(self) -> None:
        self._failures = 0

    def failed(self, now: float) -> None:
        self._failures += 1
        self._rests_until = now + REST_SECONDS


class Cache:
    """Keys of one stack and, but for those who name others, of one generation. Methods raise CacheUnavailable and nothing else."""

    def __init__(self, client: "Redis", stack: str, generation: int, seconds: float = QUICK_SECONDS, cache: int = 1) -> None:
        self._client, self._seconds = client, seconds
        self.stack = stack
        self.prefix = prefix(stack, generation, cache)
        self._breaker = Breaker()
        self._probe: asyncio.Task[None] | None = None
        self._free = asyncio.Semaphore(AT_ONCE)
        self._look, self._fill = _script(client, "look"), _script(client, "fill")
        self._held, self._refresh, self._lease = _script(client, "held"), _script(client, "refresh"), _script(client, "lease")

    async def warm(self) -> None:
        """Connect and load the scripts, with more patience than a query has; Redis away is no reason not to start."""
        with suppress(*FAILURES):
            async with asyncio.timeout(PATIENT_SECONDS):
                for script in (self._look, self._fill, self._held, self._refresh):
                    await self._client.script_load(script.script)

    async def look(self, key: str, nonce: str) -> tuple[bytes | None, bool]:
        """(what is held, whether the fill lease is now ours under `nonce`). The lease is asked for only on a miss."""
        answer = await self._call(self._look(keys=[key], args=[nonce, LEASE_MS]))
        if answer == FULL:
            raise CacheUnavailable("Redis is full and evicts nothing")
        return (None, answer == 1) if isinstance(answer, int) else (answer, False)

    async def peek(self, keys: Sequence[str]) -> list[bytes | None]:
        """What is held of each; nothing is leased."""
        answer: Any = await self._call(self._client.mget(keys))
        return list(answer)

    async def fill(self, key: str, nonce: str, value: bytes, ttl_ms: int) -> bool:
        """Put what a query read, if the lease is still ours and nothing as new is held."""
        return bool(await self._call(self._fill(keys=[key], args=[nonce, value, ttl_ms])))

    async def held(self, keys: Sequence[str], nonce: str) -> list[int]:
        """Places of the keys that are held or leased; leases go over to `nonce`, so that no fill under way can land."""
        if not keys:
            return []
        return [int(place) - 1 for place in await self._call(self._held(keys=keys, args=[nonce, LEASE_MS]))]

    async def refresh(self, keys: Sequence[str], nonce: str, values: Sequence[tuple[bytes, int]]) -> int:
        """Put (value, milliseconds to live) over what is held and older, or where the lease is `nonce`. How many landed."""
        if not keys:
            return 0
        arguments: list[Any] = [nonce]
        for value, ttl in values:
            arguments += (value, ttl)
        return int(await self._call(self._refresh(keys=keys, args=arguments)))

    async def lease(self, keys: Sequence[str], nonce: str) -> list[int]:
        """Places of the keys that were neither held nor leased, and whose fill is now the caller's: by `refresh` under its nonce."""
        return [int(place) - 1 for place in await self._call(self._lease(keys=keys, args=[nonce, LEASE_MS]))]

    async def drop(self, keys: Sequence[str]) -> None:
        """Forget values and leases: costs the next reader a look into PostgreSQL."""
        if keys:
            await self._call(self._client.unlink(*keys, *(f"{key}:lease" for key in keys)))

    async def check(self) -> None:
        """For readiness."""
        await self._call(self._client.ping())

    async def close(self) -> None:
        """End the ping that may be under way."""
        if self._probe is not None:
            await ended(self._probe)

    async def _call(self, call: Awaitable[_T]) -> _T:
        try:
            if not (self._breaker.closed or self._may_try()):
                raise CacheUnavailable("Redis is left alone for a moment")
            return await self._answer(call)
        finally:
            _close(call)

    def _may_try(self) -> bool:
        """While the breaker is open: who is patient tries now and then; who is quick only has somebody find out."""
        if not self._breaker.due(monotonic()):
            return False
        if self._seconds >= PATIENT_SECONDS:
            return True
        self._probe = asyncio.create_task(self._probing())
        return False

    async def _probing(self) -> None:
        with suppress(CacheUnavailable):
            await self._answer(self._client.ping())

    async def _answer(self, call: Awaitable[_T]) -> _T:
        asked = False
        try:
            async with asyncio.timeout(self._seconds), self._free:
                asked = True
                answer = await call
        except FAILURES as wrong:
            if asked:  # else we ask too much at once, which is no fault of Redis
                self._breaker.failed(monotonic())
            raise CacheUnavailable(type(wrong).__name__) from wrong
        self._breaker.answered()
        return answer


def _script(client: "Redis", name: str) -> Any:
    return client.register_script(files("readmodel").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8"))


def _close(call: object) -> None:
    """A coroutine that was never begun must be closed, or Python warns of it; one that ended does not mind."""
    close = getattr(call, "close", None)
    if close is not None:
        close()
