"""Outcomes to and from Redis: one call a batch, best effort, never more than 50 ms. The event store is where they are kept."""

import asyncio
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import redis.exceptions

from events.envelope import ENCODER, Command
from events.outcome import (
    REMEMBERED_SECONDS,
    Notice,
    Outcome,
    appended_channel,
    claim_key,
    command_key,
    kept_of,
    kept_seconds,
    outcomes_channel,
)
from runtime import logs

if TYPE_CHECKING:
    from redis.asyncio import Redis

TELL_SECONDS: Final = 0.05
_LOG: Final = logs.get("telling")


class Teller:
    """Tells gateways what became of commands, and the relay that there is something to read."""

    def __init__(self, client: "Redis", stack: str) -> None:
        self._script: Any = client.register_script(files("workers").joinpath("outcomes.lua").read_text(encoding="utf-8"))
        self._client, self._stack = client, stack

    async def tell(self, notices: Sequence[Notice], *, appended: bool) -> None:
        """Best effort: Redis away or slow costs the callers a look into the store, nothing else."""
        kept = [each for each in notices if not each.outcome.holder]
        keys = [command_key(self._stack, each.stream, each.command_id) for each in kept]
        arguments: list[bytes | str | int] = [outcomes_channel(self._stack), ENCODER.encode(notices)]
        arguments += (appended_channel(self._stack) if appended else "", len(kept))
        for each in kept:
            arguments += (each.actor, ENCODER.encode(each.kept()), kept_seconds(each.outcome))
        for each in notices:
            if each.outcome.holder:
                keys.append(claim_key(self._stack, each.stream, each.actor, each.command_id))
                arguments += (each.outcome.holder, REMEMBERED_SECONDS)
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await self._script(keys=keys, args=arguments)
        except (redis.exceptions.RedisError, TimeoutError, OSError) as wrong:
            _LOG.warning("outcomes not told", action="tell", error=type(wrong).__name__, commands=len(kept))

    async def recall(self, commands: Sequence[Command]) -> list[Outcome | None]:
        """What each of these came to when it came before; None where that is not remembered, or Redis does not say."""
        pipeline = self._client.pipeline(transaction=False)
        for each in commands:
            pipeline.hget(command_key(self._stack, each.stream, each.id), each.actor)
        try:
            async with asyncio.timeout(TELL_SECONDS):
                values = await pipeline.execute()
        except (redis.exceptions.RedisError, TimeoutError, OSError) as wrong:
            _LOG.warning("outcomes not recalled", action="recall", error=type(wrong).__name__, commands=len(commands))
            return [None] * len(commands)
        kept = [kept_of(value) for value in values]
        return [
            found.outcome() if found is not None and found.answers(each.fingerprint) else None
            for each, found in zip(commands, kept, strict=True)
        ]
