"""Sends what `parcelling` planned: a few calls at once, failed entries again in their place, and an answer to every command.

A command's future is resolved only after SQS confirmed the entry it travelled in, and after its mark was left (best effort).
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from events.ids import partition_of
from events.parcel import pack_commands
from gateway.command_queue import CommandQueue, Message, Sent
from gateway.parcelling import STANDARD, BufferFull, Held, Pace, Parcel, Parcelling
from gateway.preparing import Prepared
from runtime.errors import Fatal, Retryable
from runtime.lifecycle import backoff
from runtime.logs import get
from runtime.metrics import COMMANDS, HOP_SECONDS

CALLS_AT_ONCE: Final = 4
STALLED_SECONDS: Final = 3.0
"""Without one confirmation while something waits for it; then nothing more is taken until there is one, or nothing waits."""
DEADLINE_SECONDS: Final = 10.0
"""From a parcel's first sending; then its commands are refused."""
TURNS: Final = 3
"""Of the loop, from bytes on a socket to a command in the buffer."""

_NEVER: Final = float("inf")
Mark = Callable[[Sequence[Prepared]], Awaitable[None]]
_LOG = get("sender")


class Stalled(BufferFull):
    """SQS has confirmed nothing for a while: what came now would only wait, and hold its caller, for the same answer."""


class NotSent(Retryable):
    """SQS did not confirm the command in time, or one before it in its partition."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A command and whoever waits for its confirmation."""

    prepared: Prepared
    confirmed: "asyncio.Future[None]"


@dataclass(slots=True, eq=False)
class _Outgoing:
    parcel: Parcel[Waiting]
    message: Message


class Sender:
    """`add` from any request; `run` in a task of its own until cancelled; `drained` before that."""

    def __init__(self, queue: CommandQueue, partitions: int, mark: Mark, deadline: float = DEADLINE_SECONDS, pace: Pace = STANDARD) -> None:
        self._queue, self.partitions, self._mark, self._deadline = queue, partitions, mark, deadline
        self._pace = pace
        self._plan: Parcelling[Waiting] = Parcelling(partitions, pace)
        self._ends = _NEVER
        """When the last parcel is given up, once nothing more is taken."""
        self._loop = asyncio.get_running_loop()
        self._heard = 0.0
        """When SQS last confirmed something, or the first command came after nothing had waited."""
        self._news = asyncio.Event()
        self._returned = asyncio.Event()
        """A call came back: its partitions may go again."""
        self._left = asyncio.Event()
        """Something was confirmed or given up."""
        self._empty = asyncio.Event()
        self._empty.set()
        self._free = asyncio.Semaphore(CALLS_AT_ONCE)

    def add(self, prepared: Prepared) -> "asyncio.Future[None]":
        """Resolves once SQS confirmed the command; fails with NotSent. Raises BufferFull (Held, Stalled) at once."""
        if self._ends != _NEVER:
            raise Held
        now = self._loop.time()
        if not self._plan.count:
            self._heard = now
        elif now - self._heard > STALLED_SECONDS:
            raise Stalled
        confirmed: asyncio.Future[None] = self._loop.create_future()
        partition = partition_of(prepared.command.stream, self.partitions)
        self._plan.add(partition, prepared.body, Waiting(prepared, confirmed), now)
        self._news.set()
        return confirmed

    def room(self) -> Awaitable[object]:
        """Until something leaves the buffer after this call, whenever it is awaited."""
        self._left.clear()
        return self._left.wait()

    @property
    def waiting_bytes(self) -> int:
        """Of all commands not yet confirmed."""
        return self._plan.bytes

    def hold(self) -> None:
        """Take nothing more until `go_on`; what was taken is confirmed or given up within the deadline, counted from now."""
        if not self.held:
            self._ends = self._loop.time() + self._deadline

    def go_on(self, partitions: int) -> None:
        """Take commands again, under this number of partitions: another one only when `empty`."""
        if partitions != self.partitions:
            if not self.empty:
                raise RuntimeError("commands wait in partitions of before")
            self.partitions, self._plan = partitions, Parcelling(partitions, self._pace)
        self._ends = _NEVER
        self._left.set()

    @property
    def held(self) -> bool:
        """Between `hold` and `go_on`."""
        return self._ends != _NEVER

    @property
    def empty(self) -> bool:
        """Every command taken was confirmed or given up."""
        return not self._plan.count

    async def drained(self) -> None:
        """Until nothing waits any more."""
        while self._plan.count:
            self._empty.clear()
            await self._empty.wait()

    async def run(self) -> None:
        """Send for ever."""
        async with asyncio.TaskGroup() as calls:
            while True:
                await self._until_due()
                await self._free.acquire()
                self._free.release()
                for call in self._plan.take(self._loop.time()):
                    calls.create_task(self._deliver(call))

    async def _until_due(self) -> None:
        """Returns when something should be sent. Wakes on arrivals only when there was nothing or when enough gathered."""
        while True:
            self._news.clear()
            due = self._plan.due(self._loop.time())
            if due == 0:
                return
            if due is None:
                await self._news.wait()
                await asyncio.sleep(0)  # whatever else came in this turn of the loop goes along
                continue
            await self._nap(due)

    async def _nap(self, seconds: float) -> None:
        """Sleep, unless a call comes back; then let the sockets speak once more: a process that was not scheduled for a while sees
        its timers before its input, and quiet would be nothing but its own absence."""
        self._returned.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._returned.wait()
        except TimeoutError:
            pass
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def _deliver(self, call: list[Parcel[Waiting]]) -> None:
        """One call and its repetitions, until every parcel of it was confirmed or given up."""
        started = self._loop.time()
        left = [_Outgoing(parcel, _message(parcel, self.partitions)) for parcel in call]
        attempt = 0
        while left:
            attempt += 1
            answers = await self._call(left, self._limit(started))
            confirmed = [each.parcel for each, sent in zip(left, answers, strict=True) if sent is Sent.YES]
            self._give_up(each.parcel for each, sent in zip(left, answers, strict=True) if sent is Sent.NEVER)
            left = [each for each, sent in zip(left, answers, strict=True) if sent is Sent.AGAIN]
            await self._confirm(confirmed)
            if left and not await self._rest(attempt, started):
                self._give_up(each.parcel for each in left)
                break
        HOP_SECONDS.labels("send").observe(self._loop.time() - started)

    def _limit(self, started: float) -> float:
        """Of parcels first sent then."""
        return min(started + self._deadline, self._ends)

    async def _call(self, outgoing: list[_Outgoing], until: float) -> list[Sent]:
        async with self._free:
            if self._loop.time() >= until:  # a call that has no time might still reach SQS
                return [Sent.AGAIN] * len(outgoing)
            try:
                async with asyncio.timeout_at(until):
                    return await self._queue.send([each.message for each in outgoing])
            except (Retryable, TimeoutError) as wrong:
                _LOG.warning("sending failed", action="send", parcels=len(outgoing), why=str(wrong) or "no answer in time")
                return [Sent.AGAIN] * len(outgoing)
            except Fatal as wrong:
                _LOG.error("sending was refused", action="send", parcels=len(outgoing), why=str(wrong))
                return [Sent.NEVER] * len(outgoing)

    async def _rest(self, attempt: int, started: float) -> bool:
        """Wait before the next attempt; False when there is no time for one."""
        pause = backoff(attempt, random.random())  # noqa: S311 - jitter
        if self._loop.time() + pause >= self._limit(started):
            return False
        await asyncio.sleep(pause)
        return True

    async def _confirm(self, parcels: list[Parcel[Waiting]]) -> None:
        """The partitions go on at once; the callers hear of it when the marks are there."""
        if not parcels:
            return
        self._heard = self._loop.time()
        for parcel in parcels:
            self._plan.confirmed(parcel)
        self._left.set()
        self._news.set()
        self._returned.set()
        waiting = [each for parcel in parcels for each in parcel.items]
        try:
            await self._mark([each.prepared for each in waiting])
        finally:
            for each in waiting:
                if not each.confirmed.done():
                    each.confirmed.set_result(None)
            COMMANDS.labels("accepted").inc(len(waiting))
            self._look_empty()

    def _give_up(self, parcels: Iterable[Parcel[Waiting]]) -> None:
        for parcel in parcels:
            lost = self._plan.given_up(parcel)
            for each in lost:
                if not each.confirmed.done():
                    each.confirmed.set_exception(NotSent())
                    each.confirmed.exception()  # its caller may be gone: nobody need look at it
            COMMANDS.labels("refused").inc(len(lost))
            self._left.set()
            self._look_empty()

    def _look_empty(self) -> None:
        if not self._plan.count:
            self._empty.set()


def _message(parcel: Parcel[Waiting], partitions: int) -> Message:
    return Message(parcel.partition, os.urandom(16).hex(), pack_commands(parcel.partition, parcel.bodies, partitions))
