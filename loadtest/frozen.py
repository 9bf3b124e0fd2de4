"""Saturation with the backend frozen in the middle: `python -m loadtest.frozen --state DIR --duration 600 --freeze 30` on a live stack.

Creations come through the batch route as fast as the stack takes them, by callers that wait where it says so; no more than `--backlog`
may be on their way, since an emulator keeps all of it in memory. In the middle the backend's process and all that it started stand still
(SIGSTOP) for `--freeze` seconds. Told is the memory of each role after 30 % of the time (minute 3 of ten) and at the end, each the median
over a twentieth of the time. Then the stack drains, and every accepted command is looked up in the event store by its key, counted in
PostgreSQL and in the cache projector's positions; a small run is audited whole as well.
"""

import argparse
import asyncio
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from sqlalchemy import func, select

from events.ids import Version
from gateway.client import Client
from headrace.audit.checking import audit
from headrace.errors import WrongUse
from loadtest.bench.cpu import family
from loadtest.flood import AT_ONCE, LINES, Wanted, creation, not_there, post, stream_of
from loadtest.ground import Found, Ground, carried_out, drained, ground, say, stored, watched
from loadtest.resident import MARK, Seen, memory, standstill
from loadtest.watch import Look, Watch
from readmodel.comments.tables import COMMENTS
from readmodel.control import CACHE, POSITIONS
from readmodel.database import AUDITING, database_errors, open_database
from runtime.settings import Settings

POINTS: Final = 60
"""Of memory over time, as told."""
AUDITED: Final = 50_000
"""Commands; an audit of more would cost an emulator, which answers nobody meanwhile, longer than the run."""
SETTLE_SECONDS: Final = 30.0
BACK_SECONDS: Final = 120.0
"""Beyond the freeze, for a request to be taken with all its repetitions."""


class Sizes(NamedTuple):
    """Seconds, and commands on their way."""

    duration: float
    freeze: float
    backlog: int


class Frozen:
    """One measurement. `seen` grows by two a second; of the commands only their number is kept."""

    def __init__(self, on: Ground, sizes: Sizes) -> None:
        self._on, self._sizes = on, sizes
        self.run = f"frozen{secrets.token_hex(4)}"
        self.accepted = [0] * AT_ONCE
        """By caller, whose comments are numbered."""
        self.seen: list[Seen] = []
        self._looked = asyncio.Event()
        self._base: dict[str, float] = {}
        self._began = 0.0

    def look(self, look: Look) -> None:
        """One of the watch's. Before the beginning nothing is on its way: what is counted then is of roles that began anew."""
        stages = look.backlogs(0.0).waiting
        if not self._began:
            self._base = stages
            return
        waiting = max(count - self._base[stage] for stage, count in stages.items())
        self.seen.append(Seen(time.monotonic() - self._began, look.rss_mb, waiting, look.appended))
        self._looked.set()

    async def saturate(self) -> None:
        """Until the time is over and all that was sent is accepted. Raises WrongUse, StackFailed, Unavailable."""
        backend = self._on.part("aws").pid
        if backend is None:
            raise WrongUse("the backend is not this stack's own, and cannot be frozen")
        async with (
            Client(self._on.stack.gateway, actor="frozen", deadline=self._sizes.freeze + BACK_SECONDS) as client,
            asyncio.TaskGroup() as tasks,
        ):
            self._began = time.monotonic()
            for caller in range(AT_ONCE):
                tasks.create_task(self._call(client, caller))
            await asyncio.sleep(self._sizes.duration / 2)
            say(f"the backend (pid {backend}) stands still for {self._sizes.freeze:g} s")
            with standing_still(backend):
                await asyncio.sleep(self._sizes.freeze)
            say("the backend goes on")

    async def _call(self, client: Client, caller: int) -> None:
        while time.monotonic() < self._began + self._sizes.duration:
            if self.seen and self.seen[-1].waiting > self._sizes.backlog:
                self._looked.clear()
                await self._looked.wait()
                continue
            first = self.accepted[caller]
            await post(client, [creation(self._name(caller, number)) for number in range(first, first + LINES)])
            self.accepted[caller] += LINES

    def _name(self, caller: int, number: int) -> str:
        return f"{self.run}-{caller}-{number}"

    def wanted(self) -> Iterator[Wanted]:
        """Every accepted command, where it must be."""
        names = chain.from_iterable((self._name(caller, n) for n in range(count)) for caller, count in enumerate(self.accepted))
        return ((stream_of(name), Version(1), creation(name).id) for name in names)


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """This process and all that it started, until the end of the block, however it ends (but for a kill -9 of ourselves)."""
    stopped = family([pid])
    try:
        _tell(stopped, signal.SIGSTOP)
        yield
    finally:
        _tell(stopped | family([pid]), signal.SIGCONT)


def _tell(pids: set[int], what: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it ended by itself
            os.kill(pid, what)


async def measure(folder: Path, sizes: Sizes) -> Found:
    """Everything. Raises WrongUse, StackFailed."""
    if not 2 <= sizes.duration <= 86_400 or not 0 < sizes.freeze < sizes.duration / 2 or sizes.backlog < LINES:
        raise WrongUse(f"--freeze must be less than half of --duration, --backlog at least {LINES}")
    on = ground(folder)
    frozen = Frozen(on, sizes)
    async with watched(on, frozen.look) as watch:
        await drained(watch)
        say(f"saturating for {sizes.duration:g} s")
        await frozen.saturate()
        seen, took = list(frozen.seen), frozen.seen[-1].at
        say(f"draining; then {sum(frozen.accepted):,} commands are looked up")
        faults = await _checked(on, frozen, watch)
    within = [each for each in seen if each.at <= sizes.duration]
    return {
        **sizes._asdict(),
        "accepted": sum(frozen.accepted),
        "accepted_per_s": round(sum(frozen.accepted) / took),
        "standstill_s": standstill(within),
        "waiting": round(median(each.waiting for each in within)),
        "rss_mb": memory(within, sizes.duration),
        "rss_mb_over_time": [[round(each.at, 1), each.rss_mb] for each in within[:: max(1, len(within) // POINTS)]],
        "faults": faults,
    }


async def _checked(on: Ground, frozen: Frozen, watch: Watch) -> list[str]:
    """Nothing accepted is lost: not in the store, not in the views."""
    await drained(watch)
    accepted = sum(frozen.accepted)
    async with stored(on) as store:
        _, faults = await not_there(store, frozen.wanted())
    faults += await _views(on.settings, frozen.run, accepted)
    if accepted <= AUDITED:
        findings = await audit(on.settings, SETTLE_SECONDS)
        faults += [f"{each.invariant} {each.stream}: {each.detail}" for each in findings.differences]
    else:
        say(f"no audit of everything: {accepted:,} commands; `headrace audit` does it")
    return faults


async def _views(settings: Settings, run: str, accepted: int) -> list[str]:
    """Every creation once: as many streams, each at version 1."""
    rows = select(func.count(), func.sum(COMMENTS.c.version)).where(COMMENTS.c.comment_id.like(f"{run}-%"))
    passed = select(func.count(), func.sum(POSITIONS.c.version)).where(
        POSITIONS.c.projector == CACHE, POSITIONS.c.stream.like(f"{stream_of(run)}-%")
    )
    faults = []
    with database_errors():
        async with open_database(settings, AUDITING) as database, database.engine.connect() as connection:
            for name, query in (("rows", rows), ("positions of the cache projector", passed)):
                count, versions = (await connection.execute(query)).one()
                if (count, versions or 0) != (accepted, accepted):
                    faults.append(f"I4 {count} {name} with {versions or 0} versions in all for {accepted} creations")
    return faults


def told(found: Found) -> str:
    """For people."""
    roles = ", ".join(f"{role} {each['mark']:.0f} to {each['end']:.0f} ({each['times']:.2f})" for role, each in found["rss_mb"].items())
    lost = "nothing accepted is lost" if not found["faults"] else f"{len(found['faults'])} faults"
    return (
        f"{found['accepted']:,} accepted, {found['accepted_per_s']:,}/s, no commit for {found['standstill_s']} s; MB after {MARK:.0%} of"
        f" {found['duration']:g} s and at the end: {roles}; {lost}"
    )


def main() -> int:
    """Exit 1 when something accepted is not where it must be."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.frozen", description=__doc__)
    parser.add_argument("--state", default=".headrace")
    parser.add_argument("--duration", type=float, default=600.0)
    parser.add_argument("--freeze", type=float, default=30.0)
    parser.add_argument("--backlog", type=int, default=20_000, help="commands on their way, at most about so many (20000)")
    given = parser.parse_args()
    sizes = Sizes(given.duration, given.freeze, given.backlog)
    return carried_out("loadtest.frozen", measure(Path(given.state), sizes), told)


if __name__ == "__main__":
    raise SystemExit(main())
