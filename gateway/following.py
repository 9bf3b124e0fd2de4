"""Follows the stack's number of partitions, which decides in which order commands of one stream wait for a worker.

While the number is being changed nothing is taken: a command sent under the new number could overtake one that another gateway sent
under the old. A gateway that cannot read the facts goes on as it last knew them; one that begins knows nothing, and takes nothing until
it has read them. Reading costs 0.2 requests a second.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from msgspec import UNSET

from gateway.sender import DEADLINE_SECONDS, Sender
from runtime.changing import Vigil, without_dead_mark
from runtime.errors import ConfigurationError, HeadraceError
from runtime.logs import get
from runtime.stack import Facts, Stack, agree

INTERVAL_SECONDS: Final = 5.0
HELD_INTERVAL_SECONDS: Final = 1.0
"""While nothing is taken, and after a reading that failed."""
READ_SECONDS: Final = 3.0
"""For one reading, repetitions by the SDK included; later it says nothing of now."""
STILL_SECONDS: Final = INTERVAL_SECONDS + HELD_INTERVAL_SECONDS + 3 * READ_SECONDS + DEADLINE_SECONDS
"""From the writing of a mark until no gateway that can read it sends any more: a reading that just missed it, the pause, a reading
that fails, a short pause, the next reading, and what was taken until then."""
_LOG: Final = get("following")


class Follower:
    """`told`: the number that this process was told by its own settings, if any."""

    def __init__(self, facts: Facts, sender: Sender, told: int | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._facts, self._sender, self._told = facts, sender, told
        self._vigil = Vigil(clock)
        self._away = False

    async def run(self) -> None:
        """For ever. Raises ConfigurationError when the stack no longer is what this process was told, or can understand."""
        while True:
            await asyncio.sleep(HELD_INTERVAL_SECONDS if self._sender.held or self._away else INTERVAL_SECONDS)
            stack = await self._read()
            if stack is not None:
                await self._follow(stack)

    async def begin(self) -> None:
        """Once, before the first command is taken: without knowing the facts none is. Raises as `run` does."""
        stack = await self._read()
        if stack is None:
            self._sender.hold()
        else:
            await self._follow(stack)

    async def _read(self) -> Stack | None:
        """None when nothing is known of now."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                seen = await self._facts.read()
                if seen is not None:
                    seen = await without_dead_mark(self._facts, seen, self._vigil)
        except ConfigurationError:
            raise
        except (HeadraceError, TimeoutError) as away:
            if not self._away:
                _LOG.warning("the stack's facts cannot be read", action="follow", error=type(away).__name__)
            self._away = True
            return None
        self._away = False
        return None if seen is None else seen.stack

    async def _follow(self, stack: Stack) -> None:
        if stack.changing is not UNSET:
            if not self._sender.held:
                _LOG.warning("partitions are being changed: no commands", action="hold", to=stack.changing.to)
            self._sender.hold()
            return
        if stack.partitions == self._sender.partitions:
            self._go_on(stack)
            return
        self._sender.hold()
        if self._told is not None:
            await self._sender.drained()
            agree(self._told, stack)
        if self._sender.empty:
            self._go_on(stack)

    def _go_on(self, stack: Stack) -> None:
        if self._sender.held:
            self._sender.go_on(stack.partitions)
            _LOG.info("taking commands", action="go_on", partitions=stack.partitions)
