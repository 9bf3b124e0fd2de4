"""How soon a shard is read again: at once when there is more, shortly when commits come, ever more rarely when nothing does."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from runtime.lifecycle import pause
from workers.waking import Waker

SHORT_SECONDS: Final = 0.05
LONG_SECONDS: Final = 0.2
MANY: Final = 200
"""From one read to the next while commits come: what gathers meanwhile travels together. Short after a few commits, long (a setting)
after MANY: then a commit waits half of that on average, and a page, which costs six calls and two transactions in all, carries that many
more. It grows with the square of their number, late, since gathering is for rates at which calls are what there is too much of: up to 800
commits a second wait 30 ms on average, from some 1,100 on 100."""
SEVERAL: Final = 30
SLOWER: Final = 2.0
SLOW_MOST: Final = 0.5
"""A page of so many records is followed by a rest of so many times what it took to read and publish it, up to a most in seconds: a backend
that is slow, or asked too much, gets fuller pages instead of more of them."""
IDLE_SECONDS: Final = 2.0
ALONE_SECONDS: Final = 1.0
"""The same while nobody can call: Redis is away, or there is no waker."""
FULL: Final = 1000
"""Records of a page behind which there are surely more."""


def gathering(records: int, longest: float) -> float:
    """Seconds from one read to the next after a page of so many records, where not all came at once. Pure."""
    shortest = min(SHORT_SECONDS, longest)
    return shortest + (longest - shortest) * min(1.0, (records / MANY) ** 2)


def resting(records: int, took: float, longest: float) -> float:
    """Seconds from the end of such a page, which took so long, to the next read. Pure."""
    if records >= FULL:
        return 0.0
    slow = min(SLOW_MOST, SLOWER * took) if records >= SEVERAL else 0.0
    return max(0.0, slow, gathering(records, longest) - took)


class Pace:
    """One shard's. After a commit or a call the pauses begin short and grow with the quiet, up to `idle` seconds."""

    def __init__(
        self,
        waker: Waker | None = None,
        idle: float = IDLE_SECONDS,
        alone: float = ALONE_SECONDS,
        clock: Callable[[], float] = monotonic,
        *,
        gather: float = LONG_SECONDS,
    ) -> None:
        self._gather = gather
        self._waker, self._idle, self._alone, self._clock = waker, idle, alone, clock
        self._moved = clock()

    async def rest(self, leaving: asyncio.Event, asked: float, records: int) -> None:
        """After a page of `records` that was asked for at `asked`; ends at once when `leaving` is set."""
        now = self._clock()
        if records:
            self._moved = now
            await pause(leaving, resting(records, now - asked, self._gather))
            return
        waker = self._waker
        if waker is None:
            await pause(leaving, max(SHORT_SECONDS, min(self._alone, (now - self._moved) / 4)))
            return
        quiet = now - max(self._moved, waker.last_called)
        most = self._idle if waker.listening else self._alone
        await waker.wait(leaving, max(SHORT_SECONDS, min(most, quiet / 4)))
