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

CAREFUL_FROM: Final = 2
"""Connections that ended one after the other before anything came of them: a message in hand may be why, since each end counts for all
that is in hand. From then on messages are taken one at a time, so that only the one in front wears out."""
CAREFUL: Final = 1000
"""Messages taken so, at least all that was in hand; then many at a time again."""
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
                    # A task each: what a group within counted as a cancellation of its task stays counted there, and before
                    # Python 3.11.3 every later timeout of the same task would be a cancellation.
                    failures = await replying.create_task(self._connection(replies, failures))
                    if failures:
                        await pause(self._stopping, backoff(failures, random.random()))  # noqa: S311 - jitter
        finally:
            self._ended.set()

    async def _connection(self, replies: Replies, failures: int) -> int:
        """One connection's life; how often in a row one ended, or could not be had, before anything was acknowledged over it."""
        careful = failures >= CAREFUL_FROM
        session: Session | None = None
        try:
            async with self._broker.line(careful=careful) as line:
                _LOG.info("taking commands", action="connect", careful=careful)
                self._line = line
                replies.over(line)
                session = Session(self._ways, self._stopping, replies, line, CAREFUL if careful else None)
                await session.run()
            failures = 0
        except* Retryable as lost:
            through = session is not None and session.acknowledged
            failures = (CAREFUL_FROM if careful else 1) if through else failures + 1
            _LOG.warning("no broker", action="connect", error=str(lost.exceptions[0]), failures=failures)
        finally:
            self._line = None
            replies.over(None)
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
