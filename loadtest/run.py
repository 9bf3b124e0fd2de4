"""One load against a live stack: find the rate, post, drain, check every promise, add up."""

import asyncio
import os
import secrets
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
from headrace.errors import WrongUse
from headrace.local import state
from headrace.local.environment import merged
from headrace.metering import Reading
from loadtest.fleet import open_fleet
from loadtest.live import Live
from loadtest.measuring import Measuring
from loadtest.phases import Done, Plan, Tick
from loadtest.series import Series
from loadtest.verify import Asking, History, Verdict, Window, read_journal, verify
from loadtest.wanted import Say, Wanted
from loadtest.watch import Look, Watch
from runtime.aws import open_aws
from runtime.settings import Settings, load
from runtime.stack import load_stack

A_PROCESS: Final = 3000.0
"""Commands a second that one generator process makes without being late, with room."""
MOST_PROCESSES: Final = 8
SAMPLED, SAMPLED_MOST, SAMPLES = 50, 10, 400
"""One command in fifty is waited for and read back; in short runs more, for so many samples, but never more than one in ten."""


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
    if wanted.via == "amqp" and not settings.amqp_url:
        raise WrongUse("--via amqp: this stack has no RabbitMQ; bring it up with HEADRACE_AMQP_URL")
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
                    measured = await Measuring(fleet, self._watch, self.series, self._wanted, self._tell).measure()
                    watching.cancel()
            except ExceptionGroup as several:
                raise first_of(several) from several
            await fleet.end()
        self._tell("checking every command against the event store")
        windows = [Window(place, done.first, done.last) for phase in measured.phases for place, done in enumerate(phase)]
        verdict = await self._verified(plans, windows)
        findings = await audit(self._settings, self._wanted.settle)
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
                amqp_url=self._settings.amqp_url if wanted.via == "amqp" else "",
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

    async def _verified(self, plans: list[Plan], windows: list[Window]) -> Verdict:
        journals = {plan.worker: read_journal(Path(plan.journal)) for plan in plans}
        timeout = aiohttp.ClientTimeout(total=60)
        async with open_aws(self._settings) as aws, aiohttp.ClientSession(timeout=timeout) as http:
            store = await open_store(aws, await load_stack(await aws.dynamodb(), self._settings), self._settings)
            return await verify(store, self._settings, History(self._run, journals, windows), Asking(http, self._stack.gateway))
