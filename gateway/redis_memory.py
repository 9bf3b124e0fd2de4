"""What the gateway keeps in Redis, best effort: who holds an id, what was accepted, what became of it.

Redis is never authoritative. Each method waits at most 50 ms and says so when Redis did not answer; while it keeps failing it is asked
only once a second.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from importlib.resources import files
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeVar

from redis.exceptions import RedisError

from events.envelope import Command
from events.outcome import PENDING, PERHAPS_KNOWN, REMEMBERED_SECONDS, accepted_channel, claim_key, command_key, kept_of
from gateway.memory import Claim, Known
from gateway.preparing import Prepared
from runtime.logs import get

if TYPE_CHECKING:
    from redis.asyncio import Redis

ANSWER_SECONDS: Final = 0.05
PATIENCE: Final = 3
"""Failures in a row after which Redis is left alone for a while."""
ALONE_SECONDS: Final = 1.0
_LOG: Final = get("redis_memory")
_R = TypeVar("_R")


class RedisMemory:
    """See gateway.memory.Memory; `stack` prefixes every key."""

    def __init__(self, client: "Redis", stack: str) -> None:
        self._client, self._stack = client, stack
        self._claims: Any = client.register_script(_script("claims.lua"))
        self._marks: Any = client.register_script(_script("marks.lua"))
        self._failures = 0
        self._alone_until = 0.0

    async def claim(self, commands: Sequence[Command]) -> list[Claim]:
        """As the port says; with Redis away nothing is known of any of them."""
        keys: list[str] = []
        arguments: list[str | int] = [REMEMBERED_SECONDS]
        for each in commands:
            keys += (claim_key(self._stack, each.stream, each.actor, each.id), command_key(self._stack, each.stream, each.id))
            arguments += (each.fingerprint, each.actor)
        answers = await self._ask(lambda: self._claims(keys=keys, args=arguments))
        claims = [Claim(each.fingerprint) for each in commands]
        for place, holder, held, value in _told(answers or ()):
            claims[place - 1] = _claim(commands[place - 1], holder, held, value)
        return claims

    async def mark(self, accepted: Sequence[Prepared]) -> None:
        """Leave a mark for each accepted command, and tell workers."""
        keys = [command_key(self._stack, each.command.stream, each.command.id) for each in accepted]
        marks = [(each.command.actor, PERHAPS_KNOWN if each.key_given else PENDING) for each in accepted]
        if len(set(marks)) == 1:
            del marks[1:]
        arguments = [accepted_channel(self._stack), REMEMBERED_SECONDS, *chain.from_iterable(marks)]
        await self._ask(lambda: self._marks(keys=keys, args=arguments))

    async def known(self, stream: str, command_id: str) -> Known | None:
        """None when Redis did not answer."""
        key = command_key(self._stack, stream, command_id)
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hgetall(key)
        pipeline.pttl(key)
        answer = await self._ask(pipeline.execute)
        if answer is None:
            return None
        fields, left = answer
        by_actor = {actor.decode(): kept_of(value) for actor, value in fields.items()}
        age = REMEMBERED_SECONDS - left / 1000 if left > 0 else 0.0
        return Known(by_actor, age, {actor.decode() for actor, value in fields.items() if value == PERHAPS_KNOWN})

    async def ping(self) -> None:
        """Raises OSError or TimeoutError when Redis is away."""
        try:
            async with asyncio.timeout(1):
                await self._client.ping()
        except RedisError as wrong:
            raise ConnectionError(type(wrong).__name__) from wrong

    async def _ask(self, call: Callable[[], Awaitable[_R]]) -> _R | None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._alone_until:
            return None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await call()
        except (RedisError, TimeoutError, OSError) as wrong:
            self._failures += 1
            if self._failures >= PATIENCE:
                self._alone_until = loop.time() + ALONE_SECONDS
            if self._failures <= PATIENCE:
                _LOG.warning("redis did not answer", action="remember", error=type(wrong).__name__)
            return None
        self._failures = 0
        return answer


def _told(answers: Sequence[Any]) -> Iterable[tuple[int, bytes, int, bytes]]:
    """Place from 1 on, holder, whether it was held before, what is known: of each command of which the script had something to say."""
    return zip(*[iter(answers)] * 4, strict=True)


def _claim(command: Command, holder: bytes, held: int, value: bytes) -> Claim:
    kept = kept_of(value or None)
    mine = kept is not None and kept.answers(command.fingerprint)
    return Claim(holder.decode(), bool(held), kept.outcome() if kept is not None and mine else None)


def _script(name: str) -> str:
    return files("gateway").joinpath(name).read_text(encoding="utf-8")
