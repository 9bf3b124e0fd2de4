"""Takes commands from RabbitMQ: in the order in which they came, acknowledged once SQS has them, held in place while it does not.

A message is never given back to wait: that would count towards its delivery limit, and it would come again behind its successors.
What carries no command is copied to the dead-letter queue with its reason. A connection that is lost is taken up again; what was not
acknowledged on it comes again and is known by its id.
"""

import asyncio
import random
from typing import Final

from gateway.amqp.line import Broker, Line
from gateway.amqp.replies import Replies
from gateway.amqp.session import Session, Ways
from runtime import logs
from runtime.errors import Retryable
from runtime.lifecycle import backoff, pause

_LOG: Final = logs.get("amqp_ingress")


class NoLine(Retryable):
    """No connection to the broker."""


class Ingress:
    """`run` in a task of its own; `stop` and `drained` before that task is cancelled."""

    def __init__(self, broker: Broker, ways: Ways) -> None:
        self._broker, self._ways = broker, ways
        self._stopping, self._ended = asyncio.Event(), asyncio.Event()
        self._line: Line | None = None

    async def run(self) -> None:
        """Until `stop`, and what was taken is settled and replied to."""
        try:
            async with asyncio.TaskGroup() as replying:
                replies = Replies(self._ways.poster, replying)
                failures = 0
                while not self._stopping.is_set():
                    failures = await self._connection(replies, failures)
        finally:
            self._ended.set()

    async def _connection(self, replies: Replies, failures: int) -> int:
        """One connection's life; how often in a row there was none."""
        try:
            async with self._broker.line() as line:
                _LOG.info("taking commands", action="connect")
                failures, self._line = 0, line
                replies.over(line)
                await Session(self._ways, self._stopping, replies, line).run()
        except* Retryable as lost:
            failures += 1
            _LOG.warning("no broker", action="connect", error=str(lost.exceptions[0]), failures=failures)
        finally:
            self._line = None
            replies.over(None)
        if failures:
            await pause(self._stopping, backoff(failures, random.random()))  # noqa: S311 - jitter
        return failures

    def stop(self) -> None:
        """Take nothing more."""
        self._stopping.set()

    async def drained(self) -> None:
        """Until everything taken was settled. Only after `stop`."""
        await self._ended.wait()

    async def check(self) -> None:
        """Raises Retryable while there is no connection."""
        if self._line is None:
            raise NoLine
