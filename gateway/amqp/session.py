"""What was taken from the broker over one connection: claimed and queued as it comes, acknowledged from the front as SQS confirms it."""

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

from events.outcome import Outcome
from gateway.amqp.line import Line
from gateway.amqp.messages import Arrived, prepare
from gateway.amqp.replies import Replies, key_of
from gateway.outcomes import Waiter
from gateway.parcelling import BufferFull
from gateway.posting import Poster
from gateway.preparing import Prepared, Preparer, as_repeat
from gateway.problems import Problem
from gateway.receipts import reused
from gateway.sender import NotSent
from runtime import logs
from runtime.errors import Retryable
from runtime.lifecycle import backoff, pause, unless_stopped
from runtime.metrics import DISCARDS, ENVELOPES, MESSAGES
from runtime.times import Clock

_LOG: Final = logs.get("amqp_session")


class Ways(NamedTuple):
    """What a command is prepared with and goes by, as for any other door."""

    preparer: Preparer
    poster: Poster
    clock: Clock


@dataclass(slots=True, eq=False)
class _Held:
    """One message until it is acknowledged: a command on its way, or one that came before, or none at all."""

    arrived: Arrived
    prepared: Prepared | None = None
    problem: Problem | None = None
    outcome: Outcome | None = None
    """Remembered: it is not sent again."""
    confirmed: "asyncio.Future[None] | None" = None
    waiter: Waiter | None = None

    def failed(self) -> bool:
        return self.confirmed is not None and self.confirmed.done() and self.confirmed.exception() is not None

    def unsent(self) -> bool:
        return self.prepared is not None and self.outcome is None and (self.confirmed is None or self.failed())

    def settled(self) -> bool:
        return self.problem is None and not self.unsent() and (self.confirmed is None or self.confirmed.done())


class Session:
    """What was taken over one connection, in order."""

    def __init__(self, ways: Ways, stopping: asyncio.Event, replies: Replies, line: Line, most: int | None = None) -> None:
        """`most`: messages to take; then it ends as if it were stopped."""
        self._preparer, self._poster, self._clock = ways
        self._left = most
        self.acknowledged = False
        """Something was."""
        self._stopping, self._replies, self._line = stopping, replies, line
        self._held: deque[_Held] = deque()
        self._came = asyncio.Event()
        self._sending = asyncio.Lock()
        self._all_came = False

    async def run(self) -> None:
        """Until stopped and settled. Raises a group with Retryable when the line is lost."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._take())
                tasks.create_task(self._settle())
        finally:
            for each in self._held:
                if each.waiter is not None and each.prepared is not None:
                    self._poster.outcomes.forget(key_of(each.prepared), each.waiter)

    async def _take(self) -> None:
        while self._more() and (arrived := await unless_stopped(self._stopping, self._line.next())) is not None:
            self._left = None if self._left is None else self._left - len(arrived)
            MESSAGES.labels("amqp").inc(len(arrived))
            new = [self._opened(each) for each in arrived]
            await self._claim([each for each in new if each.prepared is not None])
            self._held.extend(new)
            self._came.set()
            await self._send()
        await self._line.stop()
        self._all_came = True
        self._came.set()

    def _more(self) -> bool:
        return self._left is None or self._left > 0

    def _opened(self, arrived: Arrived) -> _Held:
        try:
            return _Held(arrived, prepare(arrived, self._preparer, self._clock()))
        except Problem as problem:
            return _Held(arrived, problem=problem)

    async def _claim(self, held: list[_Held]) -> None:
        prepared = [each.prepared for each in held if each.prepared is not None]
        claims = await self._poster.claims([each.command for each in prepared])
        ENVELOPES.labels("amqp").inc(len(prepared))
        for each, command, claim in zip(held, prepared, claims, strict=True):
            if claim.holder != command.command.fingerprint:
                each.prepared, each.problem = None, reused(command.command)
                continue
            if claim.outcome is None and claim.repeat:
                each.prepared = as_repeat(command)
            each.outcome = claim.outcome
            if each.arrived.reply_to:
                each.waiter = self._poster.outcomes.expect(key_of(command), command.command.fingerprint)
                each.waiter.outcome = claim.outcome

    async def _send(self) -> None:
        """Everything held that is not on its way: what was refused before goes before what is new, in the order in which it came."""
        async with self._sending:
            while not self._all_sent() and not self._stopping.is_set():
                await unless_stopped(self._stopping, self._poster.sender.room())

    def _all_sent(self) -> bool:
        for each in self._held:
            if not each.unsent() or each.prepared is None:
                continue
            if each.failed():  # nobody knows whether SQS has it
                each.prepared = as_repeat(each.prepared)
            try:
                each.confirmed = self._poster.sender.add(each.prepared)
            except BufferFull:
                return False
        return True

    async def _settle(self) -> None:
        """From the front: confirmed, buried, or sent again; then acknowledged together."""
        while self._held or not self._all_came:
            if not self._held:
                self._came.clear()
                await self._came.wait()
                continue
            if not await self._settled(self._held[0]):
                if self._stopping.is_set() or self._line.lost:
                    return  # not acknowledged: they come again
                await self._send()
                continue
            tag = await self._leave(self._held.popleft())
            while self._held and self._held[0].settled():
                tag = await self._leave(self._held.popleft())
            await self._line.done(tag)
            self.acknowledged = True

    async def _settled(self, held: _Held) -> bool:
        """False when SQS did not confirm it."""
        if held.problem is not None and not await self._bury(held.arrived, held.problem):
            return False
        if held.confirmed is None:
            return not held.unsent() or await self._once_sent(held)
        return await _confirmed(held.confirmed)

    async def _once_sent(self, held: _Held) -> bool:
        await self._send()  # it waits its turn for room in the buffer
        return held.confirmed is not None and await _confirmed(held.confirmed)

    async def _bury(self, arrived: Arrived, problem: Problem) -> bool:
        """Tried again in its place while the broker will not have it; False when told to stop before that."""
        detail = problem.detail or problem.title
        attempt = 0
        while True:
            try:
                await self._line.bury(arrived, problem.code, detail)
                break
            except Retryable as wrong:
                attempt += 1
                _LOG.warning("not dead-lettered yet", action="bury", error=str(wrong), attempt=attempt)
                if self._line.lost or await pause(self._stopping, backoff(attempt, random.random())):  # noqa: S311 - jitter
                    return False
        DISCARDS.labels("amqp", problem.code).inc()
        _LOG.error("message dead-lettered", action="bury", message=arrived.message_id[:128], reason=problem.code, detail=detail[:200])
        if arrived.reply_to:
            await self._replies.refuse(arrived, problem)
        return True

    async def _leave(self, held: _Held) -> int:
        if held.waiter is not None and held.prepared is not None:
            waiter, held.waiter = held.waiter, None
            await self._replies.owe(held.arrived, held.prepared, waiter)
        return held.arrived.tag


async def _confirmed(future: "asyncio.Future[None]") -> bool:
    try:
        await asyncio.shield(future)
    except NotSent:
        return False
    return True
