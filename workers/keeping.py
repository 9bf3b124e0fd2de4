"""A lease in hand: renewed beside the reading for as long as that goes on, and no longer believed in than it surely is ours."""

import asyncio
import random
from collections.abc import Callable
from typing import Final

from runtime import logs
from runtime.errors import Retryable
from runtime.lifecycle import backoff, pause
from workers.lease import LeaseLost, Leases
from workers.shards import FREE, Row

MARGIN: Final = 0.1
"""Of a lease's time: so long before it can lapse, nothing is begun under it any more and what is under way is given up."""
_LOG: Final = logs.get("lease")


class Held:
    """One lease of ours, from taking it until it is lost or handed back. `leaving` is set once it is to be given up."""

    def __init__(self, leases: Leases, row: Row, grants: Callable[[str], bool]) -> None:
        self._leases, self._row, self._grants = leases, row, grants
        self.progress = row.progress
        self.leaving = asyncio.Event()
        self._successor = FREE
        self._ending = asyncio.Event()

    @property
    def key(self) -> str:
        """Of its row."""
        return self._row.key

    @property
    def epoch(self) -> int:
        """Rises whenever the lease changes hands."""
        return self._row.epoch

    @property
    def left(self) -> float:
        """Seconds for which something may still be done under it; nothing may be begun at 0 or below. Grows when it is renewed."""
        return self._row.held_until - self._leases.clock() - MARGIN * self._leases.seconds

    def held(self) -> bool:
        """Whether something may be begun under it."""
        return self.left > 0

    async def keep(self) -> None:
        """Renew it, with its checkpoint, until `hand_back`. Raises LeaseLost when somebody else has it, or may soon."""
        while not await pause(self._ending, self._leases.seconds / 3):
            attempt = 0
            while not await self._renewed():
                attempt += 1
                spread = random.random()  # noqa: S311 - jitter
                if await pause(self._ending, backoff(attempt, spread, most=self._leases.seconds / 10)):
                    return
                if not self.held():
                    raise LeaseLost(f"{self.key} could not be renewed")

    async def _renewed(self) -> bool:
        try:
            self._row = await self._leases.renew(self._row, self.progress)
        except LeaseLost:
            raise
        except Retryable as wrong:
            _LOG.warning("lease not renewed", action="renew_lease", lease=self.key, error=str(wrong))
            return False
        if self._row.wanted and self._grants(self._row.wanted):
            self._successor = self._row.wanted
            self.leaving.set()
        return True

    def end(self) -> None:
        """No more renewals; `keep` returns."""
        self._ending.set()

    async def hand_back(self) -> None:
        """With its checkpoint, to who asked for it or to anybody; after `keep` has returned. Raises LeaseLost."""
        await self._leases.release(self._row, self.progress, self._successor)
