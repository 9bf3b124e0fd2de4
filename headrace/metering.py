"""What the roles spent, seen from outside: their counters from `/metrics`, CPU and memory from the operating system.

Processes are told apart by pid and time of start. Of a role that restarted between two looks only its last life counts: what
the process before it had counted died with it. Peak memory is over a process's whole life.
"""

import asyncio
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import aiohttp
from msgspec import Struct

from headrace.costs.usage import SUBSCRIPTIONS, Usage, usage_of
from headrace.local.roles import AMQP, ROLES

_COUNTER: Final = re.compile(r"^(headrace_\w+_total(?:\{[^\n]*\})?) ([0-9.e+]+)$", re.M)
_MEMORY: Final = re.compile(r"^(VmRSS|VmHWM):\s+(\d+) kB$", re.M)
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Process(Struct, frozen=True):
    """One process of a role, as it was when looked at. CPU in ms of user and system time, memory in MB (2^20)."""

    role: str
    pid: int
    started: int
    """In clock ticks since boot: with the pid, which life it is."""
    cpu_ms: float
    rss_mb: float
    peak_rss_mb: float
    counters: dict[str, float] | None
    """Name and labels as in `/metrics` -> count since it began; None when it did not answer."""


class Reading(Struct, frozen=True):
    """One look at all roles. By role, over its processes:"""

    processes: tuple[Process, ...]

    @property
    def pids(self) -> dict[str, tuple[int, ...]]:
        """A role that died and came back has others."""
        found: dict[str, tuple[int, ...]] = {}
        for each in self.processes:
            found[each.role] = (*found.get(each.role, ()), each.pid)
        return found

    @property
    def cpu_ms(self) -> dict[str, float]:
        return _summed({}, self.processes, "cpu_ms")

    @property
    def rss_mb(self) -> dict[str, float]:
        return _summed({}, self.processes, "rss_mb")

    @property
    def peak_rss_mb(self) -> dict[str, float]:
        return _summed({}, self.processes, "peak_rss_mb")

    @property
    def counters(self) -> dict[str, dict[str, float]]:
        """Role -> name and labels -> count since its processes began."""
        return _counters({}, self.processes)

    @property
    def silent(self) -> tuple[str, ...]:
        """Roles of which a process did not answer: their counts are missing here."""
        return tuple(sorted({each.role for each in self.processes if each.counters is None}))


class Spent(Struct, frozen=True):
    """What went between two looks."""

    requests: dict[str, int]
    """`service.call` -> AWS requests of all roles, retries, polls and leases included."""
    requests_by_role: dict[str, dict[str, int]]
    cpu_ms: dict[str, float]
    """By role."""
    peak_rss_mb: dict[str, float]
    """By role: the most it ever held, as of the second look."""
    usage: Usage
    """Of all roles, in AWS's units."""
    usage_by_role: dict[str, Usage]


class Watched(Protocol):
    """A process of a stack, as far as it is looked at here."""

    @property
    def role(self) -> str: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def url(self) -> str: ...


async def read_meters(http: aiohttp.ClientSession, parts: Sequence[Watched]) -> Reading:
    """Look at every role's processes now; `parts` are a stack's, servers among them are passed over."""
    roles = [(part, part.pid) for part in parts if part.role in ROLES and part.pid is not None]
    found = await asyncio.gather(*(_read(http, part, pid) for part, pid in roles))
    return Reading(tuple(found))


def spent(before: Reading, after: Reading) -> Spent:
    """Between two looks; see above for roles that restarted. A role silent in the first look counts as nothing spent in between."""
    lives = {(each.pid, each.started): each for each in before.processes}
    counters = _counters(lives, after.processes)
    subscriptions = SUBSCRIPTIONS + (AMQP in counters)
    by_role = {role: usage_of(counts, subscriptions) for role, counts in counters.items()}
    usage = usage_of(_total(counters), subscriptions)
    return Spent(
        requests=usage.requests,
        requests_by_role={role: used.requests for role, used in by_role.items()},
        cpu_ms=_summed(lives, after.processes, "cpu_ms"),
        peak_rss_mb=after.peak_rss_mb,
        usage=usage,
        usage_by_role=by_role,
    )


_Lives = Mapping[tuple[int, int], Process]


def _summed(lives: _Lives, processes: Sequence[Process], field: str) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for each in processes:
        base = lives.get((each.pid, each.started))
        found[each.role] += getattr(each, field) - (getattr(base, field) if base else 0.0)
    return {role: round(value, 1) for role, value in found.items()}


def _counters(lives: _Lives, processes: Sequence[Process]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for each in processes:
        counts = found.setdefault(each.role, defaultdict(float))
        base = lives.get((each.pid, each.started))
        known = (base.counters if base else {}) or {}
        if each.counters is None or (base and base.counters is None):
            continue
        for key, count in each.counters.items():
            counts[key] += count - known.get(key, 0.0)
    return {role: dict(counts) for role, counts in found.items()}


def _total(counters: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for counts in counters.values():
        for key, count in counts.items():
            found[key] += count
    return dict(found)


async def _read(http: aiohttp.ClientSession, part: Watched, pid: int) -> Process:
    counters = await _scrape(http, part.url)
    started, cpu = _times(pid)
    memory = _memory(pid)
    return Process(part.role, pid, started, cpu, memory.get("VmRSS", 0.0), memory.get("VmHWM", 0.0), counters)


async def _scrape(http: aiohttp.ClientSession, url: str) -> dict[str, float] | None:
    try:
        async with http.get(f"{url}/metrics") as answer:
            text = await answer.text()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None
    return {key: float(count) for key, count in _COUNTER.findall(text)}


def _times(pid: int) -> tuple[int, float]:
    """(start in ticks since boot, user and system time in ms); zeros when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, 0.0
    return int(fields[19]), (int(fields[11]) + int(fields[12])) * 1000 / _TICKS


def cpu_ms(pid: int) -> float:
    """User and system time of a process; 0 when it is gone."""
    return _times(pid)[1]


def _memory(pid: int) -> dict[str, float]:
    """VmRSS and VmHWM in MB; empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    return {name: round(int(kilobytes) / 1024, 1) for name, kilobytes in _MEMORY.findall(text)}
