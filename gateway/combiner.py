"""Makes one call of everything that waits at that moment: while one call is out, the next one gathers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")
MOST: Final = 1000
"""Items in one call."""
FEW: Final = 2
GATHER_SECONDS: Final = 0.01
MANY: Final = 15
LONGER_SECONDS: Final = 0.025
"""After a call of more than FEW, and of MANY: a call costs a hundred times what an item in it does, so the next ones gather."""


class Combiner(Generic[_T, _R]):
    """`ask` from anywhere; `run` in a task of its own until cancelled. `call` answers every item, in order, and does not raise."""

    def __init__(self, call: Callable[[Sequence[_T]], Awaitable[Sequence[_R]]]) -> None:
        self._call = call
        self._waiting: list[tuple[_T, asyncio.Future[_R]]] = []
        self._news = asyncio.Event()

    def ask(self, item: _T) -> "asyncio.Future[_R]":
        """Resolves with the item's own answer."""
        answer: asyncio.Future[_R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        self._news.set()
        return answer

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._news.wait()
            await asyncio.sleep(0)  # whatever else came in this turn of the loop goes along
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            if not self._waiting:
                self._news.clear()
            answers = await self._call([item for item, _ in batch])
            for (_, waiter), answer in zip(batch, answers, strict=True):
                if not waiter.done():
                    waiter.set_result(answer)
            if len(batch) > FEW:
                await asyncio.sleep(LONGER_SECONDS if len(batch) > MANY else GATHER_SECONDS)
