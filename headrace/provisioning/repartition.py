"""Another number of partitions for a stack that runs: mark, wait until nobody sends and nothing waits, write, in this order.

The number decides in which message group a stream's commands wait. Were it changed under waiting commands, a command sent after could
overtake one accepted before. So: no gateway that can read the mark sends under the old number once `still` has passed; what was sent
is decided once the queue is empty; only then does anybody learn of the new number. The last write needs the very mark that was
written last: whoever took that for dead and went on has removed it.
"""

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final, TypeVar

from msgspec import UNSET, structs

from gateway.following import STILL_SECONDS
from headrace.errors import StackFailed
from headrace.provisioning.marking import Say, unmarked_facts
from runtime.changing import MARK_SECONDS, unmarked
from runtime.errors import HeadraceError, Retryable
from runtime.lifecycle import pause
from runtime.stack import Changing, Facts, Overtaken, Seen, Stack

SPARE_SECONDS: Final = 4.0
"""For clocks that do not run alike and requests already given up."""
EMPTY_SECONDS: Final = 60.0
"""SQS's counts are right a minute after the last message was sent."""
SETTLE_SECONDS: Final = 600.0
LOOK_SECONDS: Final = 1.0
LOOKS: Final = 3
"""In a row that must find the queue empty, however short a time is asked for."""
CALL_SECONDS: Final = 5.0
WRITE_SECONDS: Final = 12.0
"""For one write with its repetitions; less than half of what a mark is good for."""
_T = TypeVar("_T")
Depth = Callable[[], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Times:
    """In seconds."""

    still: float = STILL_SECONDS + SPARE_SECONDS
    """From the mark until no gateway sends."""
    empty: float = EMPTY_SECONDS
    """For so long the queue must be seen empty."""
    settle: float = SETTLE_SECONDS
    """For the queue to become empty."""
    mark: float = MARK_SECONDS


class NotChanged(StackFailed):
    """The number of partitions is what it was."""


class Change:
    """One attempt. `depth`: messages in the commands queue, in flight too; raises Retryable."""

    def __init__(self, facts: Facts, depth: Depth, stop: asyncio.Event, say: Say, times: Times = Times()) -> None:
        self._facts, self._depth, self._stop, self._say, self._times = facts, depth, stop, say, times
        self._by = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        self.clock: Callable[[], float] = monotonic
        self._held_until = 0.0

    async def to(self, partitions: int) -> Stack:
        """The stack with so many. Raises NotChanged or Retryable; what then stands was said."""
        before = await unmarked_facts(self._facts, self._rest, self._say, self.clock)
        if before.stack.partitions == partitions:
            return before.stack
        seen = await self._marked(before, partitions, 1)
        self._say(f"partitions {before.stack.partitions} -> {partitions}: gateways take no commands until this has ended")
        done = False
        try:
            seen = await self._until_still(seen)
            seen = await self._until_empty(seen)
            seen = await self._renewed(seen, at_once=True)
            seen = await self._write(seen, structs.replace(unmarked(seen.stack), partitions=partitions))
            done = True
        finally:
            if not done:
                await self._withdraw(seen)
        return seen.stack

    async def _until_still(self, seen: Seen) -> Seen:
        until = self.clock() + self._times.still
        while self.clock() < until:
            seen = await self._renewed(seen)
            await self._rest(min(LOOK_SECONDS, max(0.0, until - self.clock())))
        return seen

    async def _until_empty(self, seen: Seen) -> Seen:
        until, looks, since, told = self.clock() + self._times.settle, 0, 0.0, -1
        while True:
            seen = await self._renewed(seen)
            left = await self._left()
            looks = looks + 1 if left == 0 else 0
            since = self.clock() if looks <= 1 else since
            if looks >= LOOKS and self.clock() - since >= self._times.empty:
                return seen
            if not looks and self.clock() >= until:
                raise NotChanged(f"the commands queue was not empty within {self._times.settle:g} s: {left} messages")
            if left != told:
                self._say(f"commands queue: {left} messages")
                told = left
            await self._rest(LOOK_SECONDS)

    async def _left(self) -> int:
        """Not known counts as one."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await self._depth()
        except (Retryable, TimeoutError):
            return 1

    async def _renewed(self, seen: Seen, *, at_once: bool = False) -> Seen:
        """Keep the mark alive. Raises NotChanged when it may no longer count."""
        if not at_once and self.clock() < self._held_until - self._times.mark * 2 / 3:
            return seen
        mark = seen.stack.changing
        if mark is UNSET or self.clock() >= self._held_until:
            raise NotChanged("this process stood still for too long: others may have gone on")
        return await self._marked(seen, mark.to, mark.beat + 1)

    async def _marked(self, seen: Seen, partitions: int, beat: int) -> Seen:
        sent = self.clock()
        mark = Changing(partitions, self._by, beat, self._times.mark)
        marked = await self._write(seen, structs.replace(seen.stack, changing=mark))
        self._held_until = sent + self._times.mark
        return marked

    async def _write(self, seen: Seen, stack: Stack) -> Seen:
        """The same write, carried out twice, is one."""
        try:
            return await self._patiently(lambda: self._facts.replace(seen, stack))
        except Overtaken as wrong:
            raise NotChanged("somebody else changed the stack's facts meanwhile") from wrong

    async def _patiently(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """With repetitions. Raises Overtaken, NotChanged."""
        until = self.clock() + WRITE_SECONDS
        while True:
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    return await call()
            except Overtaken:
                raise
            except (Retryable, TimeoutError) as wrong:
                if self.clock() >= until:
                    raise NotChanged(f"the stack's facts are out of reach: {type(wrong).__name__}") from wrong
            await asyncio.sleep(LOOK_SECONDS)

    async def _rest(self, seconds: float) -> None:
        if await pause(self._stop, seconds):
            raise NotChanged("interrupted")

    async def _withdraw(self, seen: Seen) -> None:
        """Take our mark away, and say what stands."""
        try:
            try:
                stack = await self._without_ours(seen)
            except Overtaken:  # maybe by a write of our own that was given up, and was carried out late: what it left is what stands
                stack = await self._without_ours(seen)
            self._say(f"the stack has {stack.partitions} partitions")
        except HeadraceError as wrong:
            self._say(f"the mark could not be taken away ({wrong}); it counts for {self._times.mark:g} s more")

    async def _without_ours(self, seen: Seen) -> Stack:
        """What stands, without our mark, whichever of our beats it is. Raises Overtaken, NotChanged."""
        found = await self._patiently(self._facts.read) or seen
        mark = found.stack.changing
        if mark is not UNSET and mark.by == self._by:
            found = await self._patiently(lambda: self._facts.replace(found, unmarked(found.stack)))
        return found.stack
