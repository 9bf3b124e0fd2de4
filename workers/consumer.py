"""The loop that every SQS reader shares: receive, keep in hand, hand over, delete what is done, give back what is not.

A batch is what one receive gave, at most ten messages. `lanes` batches are worked side by side; the next receive begins only
when a lane is free, so nothing is fetched that cannot be started. While a batch is worked its messages are extended at a third
of their visibility. A batch whose visibility lapsed all the same deletes nothing: somebody else may hold its messages by now.
What waits for something that is away stays in hand and is tried again, while its neighbours are settled.
Stop: no new receive, what is in hand is finished (or given back when the drain's time is up), then the loop returns. `polling` says how
a receive ends, `nudging` what is looked for beside it, `settling` what becomes of each message.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

from runtime import logs
from runtime.errors import HeadraceError, Retryable
from runtime.lifecycle import DRAIN_SECONDS, backoff, pause
from runtime.metrics import DISCARDS, IN_HAND
from workers.nudging import Nudger
from workers.polling import Polling
from workers.queue import Delivery, Queue, open_queue
from workers.settling import Handled, Settlement, settlement
from workers.waking import Waker

__all__ = ["Delivery", "Handled", "Handler", "Queue", "consume", "open_queue"]

GIVE_BACK_SECONDS: Final = 1
HANDLE_SECONDS: Final = 600.0
"""For one batch, with all its attempts; SQS itself would allow twelve hours."""
MOST_PAUSE: Final = 15.0
"""Between two attempts."""
_LOG: Final = logs.get("consumer")

Handler = Callable[[Sequence[Delivery]], Awaitable[Handled]]


@dataclass(slots=True)
class _Held:
    """A batch in hand and until when it surely is."""

    deliveries: list[Delivery]
    until: float
    lapsed: bool = False
    waiting: bool = False
    """Its last attempt left these over: each group's first one waits for something of its own."""
    waited: bool = False
    """That attempt itself was a wait: the next one begins at once."""

    def ours(self) -> bool:
        self.lapsed = self.lapsed or monotonic() >= self.until
        return not self.lapsed


async def consume(queue: Queue, handle: Handler, stop: asyncio.Event, lanes: int, waker: Waker | None = None) -> None:
    """Until `stop`; returns when everything in hand is finished or given back. `waker`: called when messages were sent."""
    free = asyncio.Semaphore(lanes)
    polling = Polling(queue, stop)
    try:
        async with asyncio.timeout(None) as deadline, asyncio.TaskGroup() as working:

            def begin(deliveries: list[Delivery], asked: float) -> None:
                held = _Held(deliveries, max(asked, monotonic() - 1) + queue.visibility)
                working.create_task(_lane(queue, handle, held, free, stop))

            working.create_task(_limited(deadline, stop))
            if waker is not None:
                working.create_task(waker.listen(stop))
                working.create_task(Nudger(waker, polling, free).run(begin, stop))
            async for deliveries, asked in _receiving(polling, stop, free):
                begin(deliveries, asked)
    except TimeoutError:
        # Nothing of those batches was deleted, so all of it comes again.
        _LOG.warning("drain ran out of time", action="drain")


async def _limited(deadline: asyncio.Timeout, stop: asyncio.Event) -> None:
    """From the stop on, not from the end of receiving: that may be waiting for a lane."""
    await stop.wait()
    deadline.reschedule(asyncio.get_running_loop().time() + DRAIN_SECONDS)


async def _receiving(polling: Polling, stop: asyncio.Event, free: asyncio.Semaphore) -> AsyncIterator[tuple[list[Delivery], float]]:
    """Batches, each with a lane reserved for it, and when each was asked for."""
    failures = 0
    while not stop.is_set():
        await free.acquire()
        if stop.is_set():  # it came while all lanes were busy: a receive now would take messages only to let them lie
            return
        asked = monotonic()
        try:
            deliveries = await polling.receive()
            failures = 0
        except Retryable as wrong:
            free.release()
            failures += 1
            _LOG.warning("receive failed", action="receive", error=str(wrong), failures=failures)
            await pause(stop, backoff(failures, random.random()))  # noqa: S311 - jitter
            continue
        if not deliveries:
            free.release()
            continue
        yield deliveries, asked


async def _lane(queue: Queue, handle: Handler, held: _Held, free: asyncio.Semaphore, stop: asyncio.Event) -> None:
    taken = len(held.deliveries)
    IN_HAND.inc(taken)
    try:
        async with _kept_in_hand(queue, held):
            await _settle(queue, held, await _handled(queue, handle, held, stop))
    finally:
        IN_HAND.dec(taken)
        free.release()


async def _handled(queue: Queue, handle: Handler, held: _Held, stop: asyncio.Event) -> Handled | None:
    """The handler's verdict; None for an error of any kind, which is this batch's trouble, never the loop's end.

    While what it needs is away the batch, or what is left of it, stays in hand and is tried again: given back, it would only be
    received again, and what is received too often counts as poison.
    """
    until = monotonic() + HANDLE_SECONDS
    attempt = 0
    try:
        async with asyncio.timeout(HANDLE_SECONDS):
            while True:
                attempt += 1
                handled = await _attempt(queue, handle, held, attempt)
                if handled is not None:
                    return handled
                rest = backoff(1 if held.waited else attempt, random.random(), most=MOST_PAUSE)  # noqa: S311 - jitter
                if monotonic() + rest >= until:
                    return Handled() if held.waiting else None  # worn out by waits as long as this one, it is set aside alone
                if not held.ours() or await pause(stop, rest):
                    return None
    except TimeoutError:
        _LOG.error("batch given up", action="handle", seconds=HANDLE_SECONDS, messages=len(held.deliveries))
    except HeadraceError as wrong:
        _LOG.warning("batch not handled", action="handle", error=type(wrong).__name__, detail=str(wrong))
    except Exception:  # noqa: BLE001 - whatever a handler raises, its messages come again and are counted
        _LOG.exception("batch not handled", action="handle")
    return None


async def _attempt(queue: Queue, handle: Handler, held: _Held, number: int) -> Handled | None:
    """None when it, or what is left of it now that the rest is settled, is to be tried again."""
    held.waiting = held.waited = False
    try:
        handled = await handle(held.deliveries)
    except Retryable as wrong:
        _LOG.warning("batch not handled yet", action="handle", error=type(wrong).__name__, detail=str(wrong), attempt=number)
        return None
    kept = settlement(held.deliveries, handled, queue.most_receives).keep
    if not kept:
        return handled
    _LOG.warning("messages not handled yet", action="handle", messages=len(kept), of=len(held.deliveries), attempt=number)
    await _settle(queue, held, handled)
    held.waiting, held.waited = True, handled.waited
    return None


async def _settle(queue: Queue, held: _Held, handled: Handled | None) -> None:
    """Bury, delete, give back: in this order, and only while the messages are surely ours."""
    if not held.ours():
        _LOG.warning("visibility lapsed, nothing deleted", action="settle", messages=len(held.deliveries))
        return
    if handled is None:
        handled, settled = Handled(), Settlement(give_back=held.deliveries[::-1])
    else:
        settled = settlement(held.deliveries, handled, queue.most_receives)
    held.deliveries = settled.keep
    try:
        for delivery, reason in settled.bury:
            await queue.bury(delivery, reason)
            DISCARDS.labels("queue", "poison").inc()
            _LOG.error("message dead-lettered", action="bury", message=delivery.message_id, reason=reason[:200])
        if settled.delete:
            await _delete(queue, held, settled.delete, handled.deleted)
        if settled.give_back and held.ours():
            await queue.extend(settled.give_back, GIVE_BACK_SECONDS)
    except Retryable as wrong:
        # Whatever was not deleted comes again after its visibility; all effects so far are idempotent.
        _LOG.warning("batch not settled", action="settle", error=str(wrong))


async def _delete(queue: Queue, held: _Held, gone: Sequence[Delivery], deleted: Callable[[Sequence[Delivery]], None] | None) -> None:
    missed = await queue.delete(gone) if held.ours() else gone
    if missed:
        _LOG.warning("messages not deleted", action="delete", messages=len(missed))
    if deleted is not None:
        kept = {each.message_id for each in missed}
        deleted([each for each in gone if each.message_id not in kept])


@asynccontextmanager
async def _kept_in_hand(queue: Queue, held: _Held) -> AsyncIterator[None]:
    task = asyncio.create_task(_heartbeat(queue, held))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _heartbeat(queue: Queue, held: _Held) -> None:
    while held.ours():
        await asyncio.sleep(queue.visibility / 3)
        began = monotonic()
        try:
            failed = await queue.extend(held.deliveries, queue.visibility) if held.deliveries else []
        except Retryable as wrong:
            _LOG.warning("messages not extended", action="extend", error=str(wrong))
            continue
        failed = [each for each in failed if each in held.deliveries]  # some may have been settled meanwhile
        if failed:
            held.lapsed = True
            _LOG.warning("messages lost", action="extend", messages=len(failed))
            return
        held.until = began + queue.visibility
