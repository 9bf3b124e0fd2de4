"""How many partitions the stack has, as a worker knows it: read again when parcels speak of another number."""

from collections.abc import Callable
from time import monotonic
from typing import Final

from runtime.stack import Facts

AGAIN_SECONDS: Final = 5.0
"""Between two readings, whatever comes: strangers must not cost a reading each."""


class PartitionCount:
    """`now` is what was last read. Without `facts` it stays."""

    def __init__(self, now: int, facts: Facts | None = None, clock: Callable[[], float] = monotonic) -> None:
        self.now = now
        self._facts, self._clock = facts, clock
        self._read_at = float("-inf")

    async def again(self) -> bool:
        """Whether it is another number by now. Raises Retryable."""
        if self._facts is None or self._clock() - self._read_at < AGAIN_SECONDS:
            return False
        seen = await self._facts.read()
        self._read_at = self._clock()
        known = self.now
        if seen is not None:
            self.now = seen.stack.partitions
        return self.now != known
