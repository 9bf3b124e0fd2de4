"""How a process ends: SIGTERM or SIGINT sets one event, every loop and every wait watches it, one deadline bounds the drain."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

_T = TypeVar("_T")

DRAIN_SECONDS: Final = 20.0  # orchestrators kill after 30 s by default; 25 s is our promise, 5 s of it are kept for the rest
CANCEL_SECONDS: Final = 0.5
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@asynccontextmanager
async def stop_on_signals() -> AsyncIterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set; the handlers are gone again on exit."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def pause(stop: asyncio.Event, seconds: float) -> bool:
    """Wait, but wake at once on stop. True means stop."""
    if stop.is_set():
        return True
    try:
        async with asyncio.timeout(seconds):
            return await stop.wait()
    except TimeoutError:
        return False


async def any_set(seconds: float, *events: asyncio.Event) -> None:
    """Wait until one of these is set, at most so many seconds."""
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def unless_stopped(stop: asyncio.Event, work: Awaitable[_T]) -> _T | None:
    """The result of `work`, or None when stop came first (the work is then cancelled and awaited)."""
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for each in (task, waiter):
            each.cancel()
        await asyncio.gather(task, waiter, return_exceptions=True)


async def ended(task: "asyncio.Task[object]") -> None:
    """Cancel it until it has ended: a cancellation that comes just while redis-py connects may be lost in there."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_SECONDS)


def backoff(attempt: int, spread: float, first: float = 0.05, most: float = 5.0) -> float:
    """Seconds to wait before attempt number `attempt` (from 1). `spread` in [0, 1) is the caller's random share: full jitter."""
    return min(most, first * 2.0 ** min(attempt - 1, 20)) * (0.5 + spread / 2)
