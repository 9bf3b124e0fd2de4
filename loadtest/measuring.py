"""The measured part of a load: phases on a fleet, and the meters around them; at given rates, or at the knee, which is found first."""

import asyncio
import time
from typing import Final, NamedTuple

from headrace.errors import StackFailed
from headrace.metering import Reading
from loadtest.fleet import Fleet
from loadtest.knee import BURST_IN_FLIGHT, DOWN, START, Search, growing, trial_seconds
from loadtest.phases import VOID_SHARE, Done, Phase, late_share
from loadtest.series import Series
from loadtest.wanted import Say, Wanted
from loadtest.watch import Watch

FIRST_LOOK_SECONDS: Final = 30.0
AGAIN: Final = 3
"""How often the knee is measured anew, lower, because the generator was late or a backlog grew after all."""


class Measured(NamedTuple):
    """Phases at `rates`, and the meters around them. `projected_at` None: the projectors did not catch up."""

    rates: list[float]
    phases: list[list[Done]]
    before: Reading
    after: Reading
    projected_at: float | None


class Measuring:
    """On a fleet that is open and a stack that is watched; what is measured is framed in `series`."""

    def __init__(self, fleet: Fleet, watch: Watch, series: Series, wanted: Wanted, say: Say) -> None:
        self._fleet, self._watch, self._series, self._wanted, self._say = fleet, watch, series, wanted, say

    async def measure(self) -> Measured:
        """At the rates asked for, or at the knee. Raises StackFailed."""
        async with asyncio.timeout(FIRST_LOOK_SECONDS):
            await self._watch.looking.wait()
        if self._wanted.rates:
            return await self._stepped(list(self._wanted.rates))
        rate = await self._knee()
        measured = await self._stepped([rate])
        for _ in range(AGAIN):
            lower = self._lower(measured, rate)
            if lower is None:
                break
            why, rate = lower
            self._say(f"{why}: again at {rate:,.0f} commands/s")
            measured = await self._stepped([rate])
        return measured

    def _lower(self, measured: Measured, rate: float) -> tuple[str, float] | None:
        """Why the measurement was not one at the knee, and the rate to measure at instead; None when it was.

        Trials are short. What held for seconds may not hold for minutes: then the rate at which all of it came through is nearer.
        """
        if late_share(*measured.phases) > VOID_SHARE:
            return "the generator itself was late", round(rate * DOWN, 1)
        done = measured.phases[0]
        began, ended = min(each.began for each in done), max(each.ended for each in done)
        behind = growing([look.backlogs(began) for look in self._watch.looks if began <= look.at <= ended], rate)
        if not behind or measured.projected_at is None:
            return None
        through = sum(each.accepted for each in done) / (measured.projected_at - began)
        return f"the backlog before {', '.join(behind)} grew", round(START * min(rate, through), 1)

    async def _stepped(self, rates: list[float]) -> Measured:
        await self._watch.look(frame=True)
        before = self._watch.readings[-1]
        self._series.begin()
        phases = []
        for rate in rates:
            self._say(f"{rate:,.0f} commands/s for {self._wanted.seconds:g} s")
            phases.append(await self._fleet.carry_out(Phase(rate, self._wanted.seconds)))
        projected_at = await self._watch.drained()
        await self._watch.look(frame=True)
        after = self._watch.readings[-1]
        self._series.end()
        return Measured(rates, phases, before, after, projected_at)

    async def _knee(self) -> float:
        """The highest rate at which no backlog grows."""
        seconds = trial_seconds(self._wanted.search)
        self._say(f"finding the knee: {seconds:g} s with {BURST_IN_FLIGHT} in flight")
        until = time.monotonic() + self._wanted.search
        burst = await self._fleet.carry_out(Phase(0.0, seconds, BURST_IN_FLIGHT))
        drained = await self._watch.drained()
        accepted = sum(each.accepted for each in burst)
        if drained is None or not accepted:
            raise StackFailed("the stack does not get through a burst of a few seconds")
        search = Search(accepted / max(0.1, drained - min(each.began for each in burst)))
        while (rate := search.next()) is not None and time.monotonic() + seconds + 1 < until:
            search.tried(rate, held=await self._holds(rate, seconds))
            await self._watch.drained()
        self._say(f"the knee: {search.knee:,.0f} commands/s")
        return search.knee

    async def _holds(self, rate: float, seconds: float) -> bool:
        seen = len(self._watch.looks)
        done = await self._fleet.carry_out(Phase(rate, seconds))
        began, ended = min(each.began for each in done), max(each.ended for each in done)
        looks = [look.backlogs(began) for look in self._watch.looks[seen:] if began <= look.at <= ended]
        behind = growing(looks, rate)
        if late_share(done) > VOID_SHARE:
            behind.append("the generator")
        self._say(f"  {rate:,.0f}/s " + (f"is too much for {', '.join(behind)}" if behind else "holds"))
        return not behind
