"""Receipts for those who gave `reply_to`: sent when the outcome is known, over whatever connection there is by then. Bounded in number."""

import asyncio
from typing import Final

from gateway.amqp.line import Line
from gateway.amqp.messages import Arrived, refusal, reply
from gateway.outcomes import Key, Waiter
from gateway.posting import Poster
from gateway.preparing import Prepared
from gateway.problems import Problem
from runtime import logs
from runtime.errors import Retryable
from runtime.metrics import DISCARDS

MOST: Final = 1000
"""Replies owed at once; then no further message that wants one is taken."""
OUTCOME_SECONDS: Final = 30.0
"""For the outcome; then the receipt says `pending`, as it does to who waits by HTTP."""
SEND_SECONDS: Final = 10.0
"""For a connection to send it over. What the command came to is kept all the same: its status can be asked for."""
AGAIN_SECONDS: Final = 0.3
_LOG: Final = logs.get("amqp_replies")


def key_of(prepared: Prepared) -> Key:
    """Under which its outcome is told."""
    command = prepared.command
    return (command.stream, command.actor, command.id)


class Replies:
    """Tasks live in `tasks`, which outlives connections."""

    def __init__(self, poster: Poster, tasks: asyncio.TaskGroup) -> None:
        self._poster, self._tasks = poster, tasks
        self._room = asyncio.Semaphore(MOST)
        self._line: Line | None = None
        self._there = asyncio.Event()

    def over(self, line: Line | None) -> None:
        """The connection to use from now on; None: there is none."""
        self._line = line
        if line is None:
            self._there.clear()
        else:
            self._there.set()

    async def owe(self, arrived: Arrived, prepared: Prepared, waiter: Waiter) -> None:
        """Returns once there is room for one more. From now on the waiter is ours to forget."""
        try:
            await self._room.acquire()
        except BaseException:
            self._poster.outcomes.forget(key_of(prepared), waiter)
            raise
        self._tasks.create_task(self._outcome(arrived, prepared, waiter))

    async def refuse(self, arrived: Arrived, problem: Problem) -> None:
        """At once, best effort like every reply."""
        await self._room.acquire()
        self._tasks.create_task(self._refusal(arrived, problem))

    async def _outcome(self, arrived: Arrived, prepared: Prepared, waiter: Waiter) -> None:
        until = asyncio.get_running_loop().time() + OUTCOME_SECONDS
        try:
            outcome = await self._poster.outcomes.outcome(waiter, until, lambda: self._poster.look(prepared.command))
            await self._send(arrived, reply(prepared.command, outcome))
        finally:
            self._poster.outcomes.forget(key_of(prepared), waiter)
            self._room.release()

    async def _refusal(self, arrived: Arrived, problem: Problem) -> None:
        try:
            await self._send(arrived, refusal(arrived, problem))
        finally:
            self._room.release()

    async def _send(self, arrived: Arrived, body: bytes) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                sent = await self._patiently(arrived, body)
        except TimeoutError:
            sent = False
        if not sent:
            DISCARDS.labels("amqp", "reply").inc()
            _LOG.warning("reply dropped", action="reply", command=arrived.message_id[:128])

    async def _patiently(self, arrived: Arrived, body: bytes) -> bool:
        while True:
            await self._there.wait()
            line = self._line
            if line is None:
                continue
            try:
                return await line.reply(arrived.reply_to, arrived.correlation_id or arrived.message_id, body)
            except Retryable:  # the connection may be lost, and the next one is told of, or only have had its troubles
                await asyncio.sleep(AGAIN_SECONDS)
