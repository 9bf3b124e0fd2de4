"""One load against a live stack: find the rate, post, drain, check every promise, add up."""

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from msgspec import Struct

from events.dynamo_store import open_store
from headrace.audit.checking import audit
from headrace.audit.findings import Findings
from headrace.costs.prices import Prices
from headrace.errors import StackFailed, WrongUse
from headrace.local import state
from headrace.local.environment import merged
from headrace.metering import Reading
from loadtest.fleet import Fleet, open_fleet
from loadtest.knee import BURST_IN_FLIGHT, BURST_SECONDS, DOWN, SEARCH_SECONDS, START, TRIAL_SECONDS, Search, growing
from loadtest.live import Live
from loadtest.phases import VOID_SHARE, Done, Phase, Plan, Tick, late_share
from loadtest.script import Shape
from loadtest.series import Series
from loadtest.verify import Asking, History, Verdict, Window, read_journal, verify
from loadtest.watch import Look, Watch
from runtime.aws import open_aws
from runtime.settings import Settings, load
from runtime.stack import load_stack

SETTLE_SECONDS: Final = 30.0
A_PROCESS: Final = 3000.0
"""Commands a second that one generator process makes without being late, with room."""
MOST_PROCESSES: Final = 8
AGAIN: Final = 3
"""How often the knee is measured anew, lower, because the generator was late or a backlog grew after all."""
SAMPLED, SAMPLED_MOST, SAMPLES = 50, 10, 400
"""One command in fifty is waited for and read back; in short runs more, for so many samples, but never more than one in ten."""
Say = Callable[[str], None]


class Wanted(Struct, frozen=True):
    """What to run. `rates`: steps of `seconds` each; empty: find the knee and measure there."""

    rates: tuple[float, ...]
    seconds: float
    shape: Shape
    via: str = "http"
    seed: int = 7
    processes: int = 0
    """Generator processes; 0: as many as the rate needs."""
    prices: Prices | None = None


class Ran(Struct):
    """Everything that a run saw."""

    backend: str
    rates: list[float]
    done: list[Done]
    before: Reading
    after: Reading
    projected_at: float | None
    verdict: Verdict
    findings: Findings
    series: Series
    processes: int


async def run(folder: Path, wanted: Wanted, say: Say) -> Ran:
    """Raises WrongUse without a stack, StackFailed when the load could not be carried out."""
    stack = state.live(folder)
    if stack is None:
        raise WrongUse(f"no stack is up in {folder}")
    os.environ.update(merged(os.environ, stack.environment))  # credentials too, which only the SDK reads
    settings = load()
    with TemporaryDirectory(prefix="headrace-load-") as journals:
        return await _Loading(_Ground(folder, stack, settings, Path(journals)), wanted, say).run()


def first_of(wrong: Exception) -> Exception:
    """The first leaf: task groups wrap what they met."""
    while isinstance(wrong, ExceptionGroup):
        wrong = wrong.exceptions[0]
    return wrong


class _Ground(NamedTuple):
    """What a load runs on."""

    folder: Path
    stack: state.Stack
    settings: Settings
    journals: Path


class _Measured(NamedTuple):
    """Phases at `rates`, and the meters around them. `projected_at` None: the projectors did not catch up."""

    rates: list[float]
    phases: list[list[Done]]
    before: Reading
    after: Reading
    projected_at: float | None


class _Loading:
    """The steps of `run`, and what they share."""

    def __init__(self, ground: _Ground, wanted: Wanted, say: Say) -> None:
        self._stack, self._settings, self._wanted, self._say = ground.stack, ground.settings, wanted, say
        self._journals = ground.journals
        self._run = f"load{secrets.token_hex(4)}"
        self.series = Series()
        self._live = Live(self.series)
        self._watch = Watch(ground.folder, ground.settings, self._look)

    async def run(self) -> Ran:
        """All of it."""
        plans = self._plans()
        async with AsyncExitStack() as opened:
            fleet = await opened.enter_async_context(open_fleet(plans, self._tick))
            try:
                async with asyncio.TaskGroup() as beside:  # what ends the watch ends the run, with its own reason
                    watching = beside.create_task(self._watch.run())
                    measured = await self._measure(fleet)
                    watching.cancel()
            except ExceptionGroup as several:
                raise first_of(several) from several
            await fleet.end()
        self._tell("checking every command against the event store")
        windows = [Window(place, done.first, done.last) for phase in measured.phases for place, done in enumerate(phase)]
        verdict = await self._verified(plans, windows)
        findings = await audit(self._settings, SETTLE_SECONDS)
        done = [each for phase in measured.phases for each in phase]
        rates, _, before, after, projected_at = measured
        return Ran(self._stack.backend, rates, done, before, after, projected_at, verdict, findings, self.series, len(plans))

    def _plans(self) -> list[Plan]:
        where = urlsplit(self._stack.gateway)
        wanted = self._wanted
        top = max(wanted.rates, default=A_PROCESS)
        count = wanted.processes or min(MOST_PROCESSES, max(1, round(top / A_PROCESS + 0.49)))
        return [
            Plan(
                host=where.hostname or "127.0.0.1",
                port=where.port or 80,
                run=self._run,
                worker=worker,
                shape=wanted.shape,
                seed=wanted.seed + worker,
                via=wanted.via,
                connections=4000 // count,
                sampled=int(min(SAMPLED, max(SAMPLED_MOST, sum(wanted.rates) * wanted.seconds // SAMPLES))) if wanted.rates else SAMPLED,
                journal=str(self._journals / str(worker)),
            )
            for worker in range(count)
        ]

    def _look(self, look: Look) -> None:
        self.series.look(look)
        self._live.show()

    def _tell(self, line: str) -> None:
        self._live.end()
        self._say(line)

    def _tick(self, worker: int, tick: Tick) -> None:
        self.series.tick(worker, tick)

    async def _measure(self, fleet: Fleet) -> _Measured:
        async with asyncio.timeout(SETTLE_SECONDS):
            await self._watch.looking.wait()
        if self._wanted.rates:
            return await self._stepped(fleet, list(self._wanted.rates))
        rate = await self._knee(fleet)
        measured = await self._stepped(fleet, [rate])
        for _ in range(AGAIN):
            lower = self._lower(measured, rate)
            if lower is None:
                break
            why, rate = lower
            self._tell(f"{why}: again at {rate:,.0f} commands/s")
            measured = await self._stepped(fleet, [rate])
        return measured

    def _lower(self, measured: _Measured, rate: float) -> tuple[str, float] | None:
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

    async def _stepped(self, fleet: Fleet, rates: list[float]) -> _Measured:
        await self._watch.look(frame=True)
        before = self._watch.readings[-1]
        self.series.begin()
        phases = []
        for rate in rates:
            self._tell(f"{rate:,.0f} commands/s for {self._wanted.seconds:g} s")
            phases.append(await fleet.carry_out(Phase(rate, self._wanted.seconds)))
        projected_at = await self._watch.drained()
        await self._watch.look(frame=True)
        after = self._watch.readings[-1]
        self.series.end()
        return _Measured(rates, phases, before, after, projected_at)

    async def _knee(self, fleet: Fleet) -> float:
        """The highest rate at which no backlog grows."""
        self._tell(f"finding the knee: {BURST_SECONDS:g} s with {BURST_IN_FLIGHT} in flight")
        until = time.monotonic() + SEARCH_SECONDS
        burst = await fleet.carry_out(Phase(0.0, BURST_SECONDS, BURST_IN_FLIGHT))
        drained = await self._watch.drained()
        accepted = sum(each.accepted for each in burst)
        if drained is None or not accepted:
            raise StackFailed("the stack does not get through a burst of a few seconds")
        search = Search(accepted / max(0.1, drained - min(each.began for each in burst)))
        while (rate := search.next()) is not None and time.monotonic() + TRIAL_SECONDS + 1 < until:
            search.tried(rate, held=await self._holds(fleet, rate))
            await self._watch.drained()
        self._tell(f"the knee: {search.knee:,.0f} commands/s")
        return search.knee

    async def _holds(self, fleet: Fleet, rate: float) -> bool:
        seen = len(self._watch.looks)
        done = await fleet.carry_out(Phase(rate, TRIAL_SECONDS))
        began, ended = min(each.began for each in done), max(each.ended for each in done)
        looks = [look.backlogs(began) for look in self._watch.looks[seen:] if began <= look.at <= ended]
        behind = growing(looks, rate)
        if late_share(done) > VOID_SHARE:
            behind.append("the generator")
        self._tell(f"  {rate:,.0f}/s " + (f"is too much for {', '.join(behind)}" if behind else "holds"))
        return not behind

    async def _verified(self, plans: list[Plan], windows: list[Window]) -> Verdict:
        journals = {plan.worker: read_journal(Path(plan.journal)) for plan in plans}
        timeout = aiohttp.ClientTimeout(total=60)
        async with open_aws(self._settings) as aws, aiohttp.ClientSession(timeout=timeout) as http:
            store = await open_store(aws, await load_stack(await aws.dynamodb(), self._settings), self._settings)
            return await verify(store, self._settings, History(self._run, journals, windows), Asking(http, self._stack.gateway))
