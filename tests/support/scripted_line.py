"""A broker by hand: messages are put in, and what the door did with them is kept. See gateway.amqp.line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.amqp.line import Line
from gateway.amqp.messages import Arrived
from runtime.errors import Retryable


class Gone(Retryable):
    """The connection is lost."""


class ScriptedLine:
    """One connection."""

    def __init__(self) -> None:
        self.lost, self.stopped, self.unroutable = False, False, False
        self.acknowledged = 0
        self.buried: list[tuple[str, str]] = []
        self.replies: list[tuple[str, str, bytes]] = []
        self._waiting: list[Arrived] = []
        self._news = asyncio.Event()

    def put(self, *arrived: Arrived) -> None:
        self._waiting += arrived
        self._news.set()

    def lose(self) -> None:
        self.lost = True
        self._news.set()

    async def next(self) -> list[Arrived]:
        await self._news.wait()
        self._check()
        self._news.clear()
        found, self._waiting = self._waiting, []
        return found

    async def done(self, tag: int) -> None:
        self._check()
        self.acknowledged = tag

    async def bury(self, arrived: Arrived, code: str, detail: str) -> None:
        self._check()
        assert detail
        self.buried.append((arrived.message_id, code))

    async def reply(self, to: str, correlation_id: str, body: bytes) -> bool:
        self._check()
        self.replies.append((to, correlation_id, body))
        return not self.unroutable

    async def stop(self) -> None:
        self.stopped = True

    def _check(self) -> None:
        if self.lost:
            raise Gone


class ScriptedBroker:
    """Gives the lines that were put in, one after the other; waits for the next one. `away`: refuses so often first."""

    def __init__(self, *lines: ScriptedLine, away: int = 0) -> None:
        self._lines: asyncio.Queue[ScriptedLine] = asyncio.Queue()
        for line in lines:
            self._lines.put_nowait(line)
        self.away = away
        self.careful: list[bool] = []
        """As asked for, line by line."""

    def add(self, line: ScriptedLine) -> None:
        self._lines.put_nowait(line)

    @asynccontextmanager
    async def line(self, *, careful: bool = False) -> AsyncIterator[Line]:
        self.careful.append(careful)
        if self.away:
            self.away -= 1
            raise Gone
        yield await self._lines.get()
