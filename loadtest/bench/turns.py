"""One subject's turn: brought up, warmed, a burst, a paced job, taken down. What it took is measured from outside."""

import asyncio
from collections.abc import Mapping, Sequence
from statistics import quantiles
from time import monotonic, process_time
from typing import Final

from msgspec import Struct

from headrace.costs.billing import bill
from headrace.costs.prices import load_prices
from headrace.metering import spent as spent_between
from loadtest.bench.cpu import cpu_seconds
from loadtest.bench.grounds import Grounds
from loadtest.bench.job import Job
from loadtest.bench.subject import Done, Live, Subject

CLEARED_SECONDS: Final = 0.3
"""Without a deletion in so long, what is visible is also acknowledged."""
CLEARING_SECONDS: Final = 15.0
MOST: Final = 20_000
"""Commands of a burst: an emulator keeps them all."""


class Sizes(Struct, frozen=True):
    """Of a turn. `rate`: commands a second of the paced job; `saturated`: seconds that a burst lasts at least; 0: as long as it takes."""

    commands: int
    paced: int
    rate: float
    warm: int
    saturated: float = 0.0


class Turn(Struct, frozen=True):
    """What one turn took. CPU in ms a command, requests per 1,000 commands, both of the burst until its last acknowledgement.

    `burst`: its commands.
    """

    per_s: float
    cpu_ms: float
    cpu_ms_by_part: dict[str, float]
    requests: float
    calls: dict[str, float]
    burst_p50_ms: float
    burst_p99_ms: float
    paced_p50_ms: float
    paced_p99_ms: float
    servers_ms: dict[str, float]
    client_ms: float
    burst: int = 0
    dollars: dict[str, float] = {}
    """Per million commands: as AWS bills the same commits (`total`), with this backend's append, and the write units alone."""


async def take_turn(subject: Subject, grounds: Grounds, sizes: Sizes, prefix: str) -> Turn:
    """Bring it up, measure, take it down. Raises StackFailed."""
    async with subject.up() as live:
        await live.work(Job(f"{prefix}w", sizes.warm, min(sizes.warm, subject.in_flight)))
        await _cleared(grounds)
        done, spent = await _burst(live, grounds, Job(f"{prefix}b", sizes.commands, subject.in_flight))
        if (longer := saturating(sizes, _seconds(done))) > sizes.commands:
            done, spent = await _burst(live, grounds, Job(f"{prefix}l", longer, subject.in_flight))
        paced = await live.work(Job(f"{prefix}p", sizes.paced, subject.in_flight, rate=sizes.rate))
    return _turn(spent, done, paced)


def saturating(sizes: Sizes, seconds: float) -> int:
    """Commands of a burst that lasts `sizes.saturated` seconds, after one of `sizes.commands` took so long; no fewer than these. Pure."""
    return max(sizes.commands, min(MOST, round(sizes.commands * sizes.saturated / seconds)))


class Spent(Struct, frozen=True):
    """CPU seconds by part, by server and of this process; requests by call."""

    parts: dict[str, float]
    servers: dict[str, float]
    client: float
    calls: dict[str, int]
    dollars: dict[str, float] = {}
    """Per million commands, of a subject with meters of its own."""


class Meter:
    """The difference between two looks."""

    def __init__(self, live: Live, grounds: Grounds) -> None:
        self._live, self._grounds = live, grounds

    async def begin(self) -> None:
        """The first look."""
        self._read = await self._live.meters()
        self._before = await self._look()

    async def end(self) -> Spent:
        """The second look, less the first."""
        before, after = self._before, await self._look()
        return Spent(
            _less(after.parts, before.parts),
            _less(after.servers, before.servers),
            after.client - before.client,
            {call: count - before.calls.get(call, 0) for call, count in after.calls.items() if count > before.calls.get(call, 0)},
            await self._dollars(),
        )

    async def _dollars(self) -> dict[str, float]:
        read = await self._live.meters()
        if read is None or self._read is None:
            return {}
        usage = spent_between(self._read, read).usage
        each = bill(usage, load_prices(), usage.commands).per_million
        found = {"total": each.total, "as run": each.as_run, "floor": each.floor}
        return {name: dollars for name, dollars in found.items() if dollars is not None}

    async def _look(self) -> Spent:
        calls = await self._grounds.calls()
        parts = {name: cpu_seconds(pids) for name, pids in self._live.pids().items()}
        return Spent(parts, {name: cpu_seconds([pid]) for name, pid in self._grounds.pids.items()}, process_time(), calls)


async def _burst(live: Live, grounds: Grounds, job: Job) -> tuple[Done, Spent]:
    meter = Meter(live, grounds)
    await meter.begin()
    done = await live.work(job)
    await _cleared(grounds)
    return done, await meter.end()


def _seconds(done: Done) -> float:
    """From the first submission to the last row."""
    return max(done.visible.values()) - min(done.submitted.values())


def _less(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}


async def _cleared(grounds: Grounds) -> None:
    """Until no message was deleted for a moment: deletions belong to the commands that they acknowledge."""
    until = monotonic() + CLEARING_SECONDS
    seen = -1
    while monotonic() < until:
        found = sum(count for call, count in (await grounds.calls()).items() if call.startswith("sqs.DeleteMessage"))
        if found == seen:
            return
        seen = found
        await asyncio.sleep(CLEARED_SECONDS)  # nobody tells when nothing more will happen


def _turn(spent: Spent, done: Done, paced: Done) -> Turn:
    count = len(done.visible)
    burst, calm = _latencies(done), _latencies(paced)
    each = 1000.0 / count
    return Turn(
        per_s=count / _seconds(done),
        burst=count,
        dollars=spent.dollars,
        cpu_ms=sum(spent.parts.values()) * each,
        cpu_ms_by_part={name: seconds * each for name, seconds in spent.parts.items()},
        requests=sum(spent.calls.values()) * each,
        calls={call: calls * each for call, calls in spent.calls.items()},
        burst_p50_ms=_percentile(burst, 50),
        burst_p99_ms=_percentile(burst, 99),
        paced_p50_ms=_percentile(calm, 50),
        paced_p99_ms=_percentile(calm, 99),
        servers_ms={name: seconds * each for name, seconds in spent.servers.items()},
        client_ms=spent.client * each,
    )


def _latencies(done: Done) -> list[float]:
    """Milliseconds from submission to the commit of the row."""
    return [(done.visible[name] - at) * 1000 for name, at in done.submitted.items()]


def _percentile(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]
