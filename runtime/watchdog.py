"""Ends a process whose event loop stands still: it answers nobody, extends nothing, and would be waited for without end.

A thread looks whether the loop still turns. It counts its own looks, not the time on a clock: a process that was stopped and goes on
later has missed nothing of its own doing.
"""

import asyncio
import faulthandler
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

LOOK_SECONDS: Final = 1.0
LOOKS: Final = 20
"""In a row in which the loop did not turn once."""
ENDED: Final = 70


class Watchdog(threading.Thread):
    """Looks at what the loop counts up."""

    def __init__(self, seconds: float, looks: int) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._seconds, self._looks = seconds, looks
        self._done = threading.Event()
        self.turns = 0

    def run(self) -> None:
        seen, missed = -1, 0
        while not self._done.wait(self._seconds):
            missed = missed + 1 if self.turns == seen else 0
            seen = self.turns
            if missed >= self._looks:
                sys.stderr.write('{"level":"critical","event":"the event loop stands still: the process ends","part":"watchdog"}\n')
                faulthandler.dump_traceback(file=sys.stderr)
                sys.stderr.flush()
                os._exit(ENDED)

    def end(self) -> None:
        """No more looks."""
        self._done.set()


@asynccontextmanager
async def watched(seconds: float = LOOK_SECONDS, looks: int = LOOKS) -> AsyncIterator[None]:
    """For the loop that runs now, until the end of the block."""
    dog = Watchdog(seconds, looks)
    turning = asyncio.get_running_loop().create_task(_turn(dog, seconds / 2))
    dog.start()
    try:
        yield
    finally:
        dog.end()
        turning.cancel()
        await asyncio.gather(turning, return_exceptions=True)


async def _turn(dog: Watchdog, seconds: float) -> None:
    while True:
        dog.turns += 1
        await asyncio.sleep(seconds)
