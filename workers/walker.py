"""Who carries out the full walk that somebody wants: of all processes one at a time, once the projectors have nothing to do."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from runtime import logs
from runtime.errors import HeadraceError
from runtime.lifecycle import pause
from runtime.metrics import DISCARDS
from workers.keeping import Held
from workers.lease import Leases
from workers.reconciling import CONFIRM_SECONDS
from workers.shards import FREE
from workers.trailing import Queues
from workers.walking import Walk, Walked
from workers.walks import Walk as Wanted
from workers.walks import Walks

KEY: Final = "walk#lease"
ASK_SECONDS: Final = 30.0
MOST_LOOK: Final = 30.0
TELL_SECONDS: Final = 600.0
"""From one word to the next of a walk that waits: on a stack that is never quiet, `headrace reconcile` says more."""
_LOG: Final = logs.get("reconciler")


class Walker:
    """Asks every half minute whether a walk is wanted. A wish is taken away only after a walk that could judge everything."""

    def __init__(self, walks: Walks, leases: Leases, walk: Callable[[], Walk], drained: "Drained", ask: float = ASK_SECONDS) -> None:
        self._walks, self._leases, self._walk, self._drained, self._ask = walks, leases, walk, drained, ask
        self._watched = (-1, -1, 0.0)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. What is away is asked again; nothing ends the relay beside it."""
        while True:
            try:
                wanted = await self._walks.wanted()
                if wanted is not None:
                    await self._turn(wanted, stop)
            except HeadraceError as wrong:
                _LOG.warning("no walk now", action="walk", error=str(wrong))
            if await pause(stop, self._ask):
                return

    async def _turn(self, wanted: Wanted, stop: asyncio.Event) -> None:
        row = (await self._leases.read([KEY]))[KEY]
        now = self._leases.clock()
        if row.owner not in (FREE, self._leases.owner):
            if self._watched[:2] != (row.epoch, row.counter):
                self._watched = (row.epoch, row.counter, now)
            if now - self._watched[2] < (row.seconds or self._leases.seconds):
                return
        lease = Held(self._leases, await self._leases.take(row), lambda _: False)
        walking = asyncio.ensure_future(self._carry_out(wanted))
        keeping = asyncio.ensure_future(lease.keep())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait([walking, keeping, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            lease.end()
            for each in (walking, stopping):
                each.cancel()
            await asyncio.gather(walking, keeping, stopping, return_exceptions=True)
        for each in (keeping, walking):
            if not each.cancelled():
                each.result()
        await lease.hand_back()

    async def _carry_out(self, wanted: Wanted) -> None:
        _LOG.warning("a full walk is wanted", action="walk", why=wanted.why)
        await self._drained.wait()
        latest = await self._walks.wanted()  # that may have taken long: one walk is for whoever asked by now
        if latest is None:
            _LOG.info("somebody else has walked", action="walk")
            return
        began, walked = monotonic(), await self._walk().run()
        finished = not walked.behind and await self._walks.done(latest)
        DISCARDS.labels("reconciler", "unhealed").inc(walked.republished - walked.healed)
        _LOG.warning("walked", action="walk", finished=finished, seconds=round(monotonic() - began, 3), **_told(walked))


class Drained:
    """Waits until the projectors have nothing to do."""

    def __init__(self, queues: Queues, projectors: tuple[str, ...], look: float = CONFIRM_SECONDS) -> None:
        self._queues, self._projectors, self._look = queues, projectors, look

    async def wait(self) -> None:
        """Until each of their queues was seen empty twice. Raises Retryable."""
        seen, look = dict.fromkeys(self._projectors, 0), self._look
        clock = asyncio.get_running_loop().time
        tell_at = clock() + TELL_SECONDS
        while seen:
            for name, depth in (await self._queues.depths(seen)).items():
                seen[name] += depth == 0
            seen = {name: times for name, times in seen.items() if times < 2}
            if seen and clock() >= tell_at:
                tell_at += TELL_SECONDS
                _LOG.warning("the walk waits for projectors that are busy", action="walk", projectors=sorted(seen))
            if seen:
                await asyncio.sleep(look)
                look = min(MOST_LOOK, look * 1.2)  # whom a projector keeps waiting for days asks more rarely


def _told(walked: Walked) -> dict[str, object]:
    return {
        "streams": walked.streams,
        "missing": dict(walked.missing),
        "republished": walked.republished,
        "healed": walked.healed,
        "behind": dict(walked.behind),
        "unhealed": walked.unhealed[:3],
    }
