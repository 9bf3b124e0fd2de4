"""How a long-lived process keeps its memory: garbage is collected rarely, and what a peak took is given back afterwards.

The cyclic collector walks everything that lives; after start-up that is mostly modules and service models that never die, and under
load mostly envelopes and histories that hold no cycles. Reference counting frees those by itself. The C library keeps what was freed
for the next peak; asked to, it gives the pages back.
"""

import asyncio
import ctypes
import gc
from collections.abc import Callable
from typing import Final

YOUNG: Final = 50_000
"""Allocations before a young collection; Python's own 700 suits scripts."""
TRIM_SECONDS: Final = 20.0


def settle() -> None:
    """Call once, when everything the process stands on is open."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)


async def trimming(stop: asyncio.Event) -> None:
    """Until `stop`: give back what the C library holds and nobody uses, a few milliseconds now and then, beside the event loop."""
    trim = _trim()
    while trim is not None and not stop.is_set():
        try:
            async with asyncio.timeout(TRIM_SECONDS):
                await stop.wait()
        except TimeoutError:
            await asyncio.to_thread(trim)


def _trim() -> Callable[[], object] | None:
    """glibc's; others have none."""
    try:
        found = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return lambda: found(0)
