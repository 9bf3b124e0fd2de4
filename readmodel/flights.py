"""Loads of the same thing at the same time, shared: one under way, and one that everybody who comes meanwhile waits for. Pure.

Nobody is answered by a load that began before they came: what it read may be older than what they were shown, or hold a token for.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar, cast

_T = TypeVar("_T")
_Load = Callable[[], Coroutine[Any, Any, _T]]


class Flights(Generic[_T]):
    """`most` loads are under way or waited for; beyond that everybody loads alone. Callers who went away leave theirs to end."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: dict[str, asyncio.Task[_T]] = {}
        self._next: dict[str, asyncio.Task[_T]] = {}
        self._all: set[asyncio.Task[_T]] = set()

    async def join(self, key: str, load: _Load[_T]) -> _T:
        """The answer of a load that begins now, or when the one under way has ended."""
        waiting = self._next.get(key)
        if waiting is None and len(self._all) >= self._most:
            return await load()
        return await asyncio.shield(waiting or self._task(key, load, self._running.get(key)))

    async def begin(self, key: str, load: _Load[_T]) -> _T:
        """The answer of a load that begins now, whatever is under way; it ends even when the caller goes away."""
        return await asyncio.shield(self._task(key, load, None))

    async def close(self) -> None:
        """End all of them."""
        for task in self._all:
            task.cancel()
        await asyncio.gather(*self._all, return_exceptions=True)

    def _task(self, key: str, load: _Load[_T], before: "asyncio.Task[_T] | None") -> "asyncio.Task[_T]":
        self._next[key] = task = asyncio.create_task(self._flown(key, load, before))
        self._all.add(task)
        task.add_done_callback(lambda done: self._ended(key, done))
        return task

    async def _flown(self, key: str, load: _Load[_T], before: "asyncio.Task[_T] | None") -> _T:
        if before is not None:
            await asyncio.wait({before})
        task = cast("asyncio.Task[_T]", asyncio.current_task())
        if self._next.get(key) is task:  # who comes from now on comes too late for this one
            del self._next[key]
        self._running[key] = task
        return await load()

    def _ended(self, key: str, task: "asyncio.Task[_T]") -> None:
        self._all.discard(task)
        for place in (self._running, self._next):
            if place.get(key) is task:
                del place[key]
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may have
