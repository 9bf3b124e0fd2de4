"""The stack while a load runs, looked at twice a second: backlogs and lags of the stages, CPU and memory of the roles, queue depths."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp
from msgspec import Struct

from headrace.local import state
from headrace.metering import Reading, read_meters
from headrace.observe import gauges, lags, queue_depths
from loadtest.knee import Backlogs
from runtime.errors import HeadraceError
from runtime.settings import Settings

LOOK_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 0.5
"""For a role's answer: one that stands still must not blur what the others did meanwhile."""
FRAME_SECONDS: Final = 5.0
"""The same where every count matters: before and after what is measured."""
DEPTHS_SECONDS: Final = 3.0
DRAINED_LOOKS: Final = 2
STALLED_SECONDS: Final = 90.0
"""Longer than a message stays invisible when its worker was killed, and than its redelivery takes."""


class Look(Struct, frozen=True):
    """One look. Counts are since the roles began; `at` is Unix time; lags in seconds; CPU in ms since the roles began."""

    at: float
    accepted: float
    decided: float
    appended: float
    projected: float
    """Commits that PostgreSQL has applied."""
    lag: dict[str, float]
    cpu_ms: dict[str, float]
    rss_mb: dict[str, float]
    queues: dict[str, int]

    def backlogs(self, began: float) -> Backlogs:
        """What waits before each stage."""
        waiting = {"commands": self.accepted - self.decided, "rds": self.appended - self.projected}
        return Backlogs(self.at - began, waiting)

    @property
    def quiet(self) -> bool:
        """None of the projectors that make what is read lacks anything that was appended."""
        return bool(self.lag) and not any(self.lag.get(name) for name in ("rds", "cache"))


class Watch:
    """`looks` grows while `run` does."""

    def __init__(self, folder: Path, settings: Settings, seen: Callable[[Look], None]) -> None:
        self._folder, self._settings, self._seen = folder, settings, seen
        self._http: aiohttp.ClientSession | None = None
        self._frame: aiohttp.ClientSession | None = None
        self._counters: dict[str, dict[str, float]] = {}
        """By role, as it last told: one that stands still did nothing since."""
        self._gauges: dict[str, dict[str, float]] = {}
        self._queues: dict[str, int] = {}
        self.looking = asyncio.Event()
        """The first look was taken."""
        self.looks: list[Look] = []
        self.readings: list[Reading] = []

    async def run(self) -> None:
        """Until cancelled."""
        patient, brisk = (aiohttp.ClientTimeout(total=seconds) for seconds in (FRAME_SECONDS, PATIENCE_SECONDS))
        async with (
            aiohttp.ClientSession(timeout=patient) as frame,
            aiohttp.ClientSession(timeout=brisk) as http,
            asyncio.TaskGroup() as group,
        ):
            self._http, self._frame = http, frame
            group.create_task(self._depths())
            while True:
                await self.look()
                await asyncio.sleep(LOOK_SECONDS)

    async def look(self, *, frame: bool = False) -> Look:
        """One, kept. `frame`: every role is waited for longer."""
        parts = self._parts()
        urls = [(part.role, part.url) for part in parts if part.pid is not None]
        http = self._frame if frame else self._http
        if http is None:
            raise RuntimeError("run first")
        began = time.time()
        reading, seen = await asyncio.gather(read_meters(http, parts), gauges(urls, FRAME_SECONDS if frame else PATIENCE_SECONDS))
        self._counters |= {role: counts for role, counts in reading.counters.items() if counts}
        self._gauges |= {role: told | _times(self._gauges.get(role, {}), told) for role, told in seen.items()}
        look = _look(began, reading, (self._counters, lags(began, self._gauges)), self._queues)
        self.looks.append(look)
        self.readings.append(reading)
        self._seen(look)
        self.looking.set()
        return look

    async def drained(self) -> float | None:
        """Unix time at which the projectors had passed everything; None when nothing moved for long."""
        quiet: list[float] = []
        moved, last = time.monotonic(), (0.0, 0.0)
        while True:
            look = await self.look()
            if (look.decided, look.projected) != last:
                moved, last = time.monotonic(), (look.decided, look.projected)
            quiet = [*quiet, look.at] if look.quiet else []
            if len(quiet) >= DRAINED_LOOKS and not any(await self._waiting()):
                return quiet[0]
            if time.monotonic() - moved > STALLED_SECONDS:
                return None
            await asyncio.sleep(LOOK_SECONDS / 2)

    async def _waiting(self) -> list[int]:
        depths = await queue_depths(self._settings)
        return [depths.get(name, 1) for name in ("commands", "rds", "cache")]

    async def _depths(self) -> None:
        """The servers' answer, so not as often."""
        while True:
            with suppress(HeadraceError):
                self._queues = await queue_depths(self._settings)
            await asyncio.sleep(DEPTHS_SECONDS)

    def _parts(self) -> tuple[state.Part, ...]:
        stack = state.live(self._folder)
        return stack.parts if stack else ()


def _times(before: Mapping[str, float], told: Mapping[str, float]) -> dict[str, float]:
    """What was appended or passed once, was: a process that began anew only does not know."""
    return {name: max(at, before.get(name, 0.0)) for name, at in told.items() if name.endswith("_at")}


def _look(
    at: float, reading: Reading, told: tuple[Mapping[str, Mapping[str, float]], Mapping[str, float]], queues: Mapping[str, int]
) -> Look:
    counters, lag = told
    commands = counters.get("commands", {})
    return Look(
        at=at,
        accepted=counters.get("gateway", {}).get('headrace_commands_total{status="accepted"}', 0.0),
        decided=sum(count for name, count in commands.items() if name.startswith("headrace_commands_total{")),
        appended=commands.get('headrace_commits_total{hop="append",verdict="yes"}', 0.0),
        projected=counters.get("projector-rds", {}).get('headrace_commits_total{hop="rds",verdict="apply"}', 0.0),
        lag=dict(lag),
        cpu_ms=reading.cpu_ms,
        rss_mb=reading.rss_mb,
        queues=dict(queues),
    )
