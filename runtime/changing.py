"""How a mark on the stack's facts is judged: by whether it still moves, on the watcher's own clock; no clocks are compared.

Whoever finds that a mark stood still for its whole time takes it away before going on, conditionally on the very mark it saw. So a
provision that was only paused cannot end its change behind the back of those who no longer counted on it: its write is refused.
"""

from collections.abc import Callable
from time import monotonic
from typing import Final

from msgspec import UNSET, structs

from runtime.stack import Changing, Facts, Seen, Stack

MARK_SECONDS: Final = 30.0


class Vigil:
    """One process watching the facts."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._mark: tuple[str, int] | None = None
        self._since = 0.0

    def dead(self, mark: Changing) -> bool:
        """Whether it was seen like this before, its whole time ago. Call it with what was read just now."""
        now = self._clock()
        if self._mark != (mark.by, mark.beat):
            self._mark, self._since = (mark.by, mark.beat), now
        return now - self._since >= mark.seconds


async def without_dead_mark(facts: Facts, seen: Seen, vigil: Vigil) -> Seen:
    """What was read just now; a mark in it that no longer counts is taken away first. Raises Retryable (Overtaken: read again)."""
    mark = seen.stack.changing
    if mark is UNSET or not vigil.dead(mark):
        return seen
    return await facts.replace(seen, unmarked(seen.stack))


def unmarked(stack: Stack) -> Stack:
    """Without its mark."""
    return structs.replace(stack, changing=UNSET)
