"""Looking at the mark of somebody else's change of partitions: wait for it to prove alive or dead."""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

from msgspec import UNSET

from headrace.errors import StackFailed
from runtime.changing import Vigil, without_dead_mark
from runtime.stack import Changing, Facts, Overtaken, Seen

LOOK_SECONDS: Final = 1.0
Rest = Callable[[float], Awaitable[None]]
Say = Callable[[str], None]


async def unmarked_facts(facts: Facts, rest: Rest, say: Say, clock: Callable[[], float] = monotonic) -> Seen:
    """The stack's facts while nobody changes its partitions; the mark of a provision that was killed is taken away, once it stood
    still for its whole time. Raises StackFailed when one that lives is at it, or there is no stack; Retryable."""
    vigil = Vigil(clock)
    first: Changing | None = None
    while True:
        try:
            seen = await facts.read()
            seen = seen and await without_dead_mark(facts, seen, vigil)
        except Overtaken:
            continue
        if seen is None:
            raise StackFailed("the stack's facts are gone")
        mark = seen.stack.changing
        if mark is UNSET:
            return seen
        if first is None:
            first = mark
            say(f"somebody is changing the partitions to {mark.to}: looking for {mark.seconds:g} s whether they still are")
        if (mark.by, mark.beat) != (first.by, first.beat):
            raise StackFailed(f"the partitions are being changed to {mark.to} by another provision; try again when it has ended")
        await rest(LOOK_SECONDS)
