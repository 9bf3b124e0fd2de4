"""Processes of the read side killed under load: `python -m loadtest.killing --seconds 300 --every 2`, on a stack of its own.

Two relays and two projectors of each kind, leases of three seconds and a visibility of ten; creations, updates and deletions at a
steady rate, some of them waited for and read back with their tokens. Every `--every` seconds one of the processes is struck, at random:
killed (`--signals kill`), asked to end (`term`), or stopped for longer than its lease and its messages last, and let go on (`stop`).
The supervisor brings what died back at once. Meanwhile the lease rows are watched. Then it is quiet: within a minute everything stored
must have reached every view, no stream parked, nothing dead-lettered, every accepted command found once and in order, the audit clean.
"""

import argparse
import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any, Final, NamedTuple

import msgspec

from headrace.errors import StackFailed, WrongUse
from headrace.local.roles import AMQP, our_command
from headrace.observe import queue_depths
from headrace.status import look
from loadtest.ground import Found, Ground, carried_out, ground, say
from loadtest.lease_history import LeaseHistory, LeaseWatch
from loadtest.nemesis import RELAY, SIGNALS, Nemesis, Plan, Strike, counted, too_few
from loadtest.own_stack import OwnStack, on_own_stack
from runtime.aws import aws_errors, open_aws
from runtime.stack import table_name

LEASE_SECONDS: Final = 3
VISIBILITY_SECONDS: Final = 10
STOPPED_SECONDS: Final = 13.0
"""Longer than either."""
QUIET_SECONDS: Final = 60.0
CALM_SECONDS: Final = 3.0
"""Of load before the first strike and after the last: what is back then has something to pass."""
FAULTS: Final = 20
"""Told in words, of a kind."""
MIX: Final = "create=50,update=38,delete=12"
PUT_OFF_SECONDS: Final = 0.5
WAITS_SECONDS: Final = 300.0
"""Beyond the load, for its drain, its checks and its audit."""
QUEUES_AT_LEAST: Final = 6
"""Of commands, rds and cache, each with its dead letters."""
_READY_SECONDS: Final = 60.0


class Sizes(NamedTuple):
    """Seconds of strikes and between them, commands a second."""

    seconds: float
    every: float
    rate: float
    signals: tuple[str, ...]
    seed: int


class Killing:
    """One drill, on a stack that is up."""

    def __init__(self, on: Ground, sizes: Sizes) -> None:
        self._on, self._sizes = on, sizes
        self._roles = tuple(dict.fromkeys(part.role for part in on.stack.parts if part.role == RELAY or part.role.startswith("projector-")))
        self.quiet: float | None = None

    async def run(self) -> Found:
        """All of it."""
        plan = Plan(self._roles, self._sizes.signals, self._sizes.seconds, self._sizes.every, STOPPED_SECONDS, self._sizes.seed)
        async with open_aws(self._on.settings) as aws:
            dynamodb = await aws.dynamodb()
            with aws_errors():
                table = (await dynamodb.describe_table(TableName=table_name(self._on.settings, "events")))["Table"]
            leases = LeaseWatch(dynamodb, table_name(self._on.settings, "control"))
            nemesis = Nemesis(self._on, plan, leases, await aws.streams(), table["LatestStreamArn"])
            async with asyncio.TaskGroup() as beside:
                watching = beside.create_task(leases.run())
                report = await self._loaded(nemesis)
                watching.cancel()
        return await self._found(report, nemesis.strikes, leases.history, plan)

    async def _loaded(self, nemesis: Nemesis) -> dict[str, Any]:
        """The load's own report; the strikes fall while it posts."""
        load = await self._load()
        try:
            async with asyncio.timeout(self._sizes.seconds + WAITS_SECONDS), asyncio.TaskGroup() as beside:
                told = beside.create_task(self._told(load))
                posting = asyncio.Event()
                beside.create_task(_said(load, posting))
                await posting.wait()
                await asyncio.sleep(CALM_SECONDS)
                say(f"one of {', '.join(self._roles)} every {self._sizes.every:g} s for {self._sizes.seconds:g} s")
                await nemesis.run()
                await asyncio.sleep(CALM_SECONDS)
                beside.create_task(self._until_quiet())
                say("quiet")
            return await told
        except TimeoutError as late:
            raise StackFailed(f"the load did not end within {WAITS_SECONDS:g} s after its time") from late
        finally:
            if load.returncode is None:
                load.kill()
                await load.wait()

    async def _load(self) -> Process:
        sizes = self._sizes
        words = ["--rate", f"{sizes.rate:g}", "--duration", f"{sizes.seconds + 2 * CALM_SECONDS:g}", "--mix", MIX]
        words += ["--settle", f"{QUIET_SECONDS:g}", "--seed", str(sizes.seed), "--json", "-", "--state", str(self._on.folder)]
        return await asyncio.create_subprocess_exec(*our_command("load", *words), stdout=PIPE, stderr=PIPE, limit=2**24)

    async def _told(self, load: Process) -> dict[str, Any]:
        if load.stdout is None:
            raise RuntimeError("asked for with a pipe")
        out = await load.stdout.read()
        await load.wait()
        if not out.strip():
            raise StackFailed("the load ended without a report")
        report: dict[str, Any] = json.loads(out)
        return report

    async def _until_quiet(self) -> None:
        """Seconds until nothing waits in any queue and no projector lacks anything."""
        began = monotonic()
        while monotonic() - began < 2 * QUIET_SECONDS:
            now = await look(self._on.folder)
            known = now is not None and len(now.queues) >= QUEUES_AT_LEAST and {"rds", "cache"} <= now.lag_seconds.keys()
            if now is not None and known and not any((*now.queues.values(), *now.lag_seconds.values())):
                self.quiet = round(monotonic() - began, 1)
                return
            await asyncio.sleep(0.5)

    async def _found(self, report: dict[str, Any], strikes: list[Strike], leases: LeaseHistory, plan: Plan) -> Found:
        dead = {name: depth for name, depth in (await queue_depths(self._on.settings)).items() if name.endswith("-dead")}
        audit = report["audit"]
        faults = [*too_few(strikes, plan), *leases.faults[:FAULTS]]
        faults += [each for each in report["faults"] if not each.startswith("void")]
        faults += [f"{depth} messages in {name}" for name, depth in dead.items() if depth]
        faults += [f"{audit['parked']} streams are parked"] if audit["parked"] else []
        faults += [] if 2 * len(dead) >= QUEUES_AT_LEAST else ["not every queue for dead letters answered"]
        faults += [] if leases.moves else ["void: no checkpoint was seen to move"]
        if self.quiet is None or self.quiet > QUIET_SECONDS:
            faults.append(f"not quiet within {QUIET_SECONDS:g} s: {self.quiet}")
        faults += await self._not_back()
        return {
            **self._sizes._asdict(),
            **counted(strikes),
            "struck": len(strikes),
            "struck_with_work": sum(1 for each in strikes if each.in_hand),
            "struck_starting": sum(1 for each in strikes if not each.ready),
            "posted": report["posted"],
            "accepted": report["accepted"],
            "applied": report["applied"],
            "projected": report["projected"],
            "refused": report["refused"],
            "visible_ms": report["latency_ms"]["visible"],
            "seconds_to_quiet": self.quiet,
            "audit": {name: audit[name] for name in ("ok", "streams", "events", "pending", "parked", "discarded")},
            "dead": dead,
            "leases": {
                "looks": leases.looks,
                "checkpoint_moves": leases.moves,
                "changes_of_hands": leases.hands,
                "faults": len(leases.faults),
            },
            "said": said(self._on.folder / "logs"),
            "faults": faults,
        }

    async def _not_back(self) -> list[str]:
        """Parts that are not ready again."""
        until = monotonic() + _READY_SECONDS
        while True:
            status = await look(self._on.folder)
            late = [part.name for part in status.parts if not part.ready] if status else ["the stack"]
            if not late or monotonic() > until:
                return [f"{name} is not ready" for name in late]
            await asyncio.sleep(0.2)


async def _said(load: Process, posting: asyncio.Event) -> None:
    """Reads the load's progress to its end; `posting` is set when it begins. Raises StackFailed when it never does."""
    if load.stderr is None:
        raise RuntimeError("asked for with a pipe")
    last = ""
    async for line in load.stderr:
        last = line.decode(errors="replace").strip()
        if "commands/s for" in last:
            posting.set()
    if not posting.is_set():
        raise StackFailed(f"no load: {last}")


def said(logs: Path) -> dict[str, int]:
    """Warnings and errors of the relays and projectors, by role and event."""
    found: Counter[str] = Counter()
    for log in sorted(logs.glob("relay*.log")) + sorted(logs.glob("projector-*.log")):
        role = log.stem.rstrip("0123456789-")
        for line in log.read_bytes().splitlines():
            try:
                each = msgspec.json.decode(line)
            except msgspec.DecodeError:
                found[f"{role}: {line[:60].decode(errors='replace')}"] += 1
                continue
            if isinstance(each, dict) and each.get("level") in {"warning", "error", "critical"}:
                found[f"{role}: {each.get('event')}"] += 1
    return dict(found.most_common(40))


async def measure(folder: Path | None, aws: str, sizes: Sizes) -> Found:
    """Everything. Raises WrongUse, StackFailed."""
    if not 1 <= sizes.every <= sizes.seconds <= 86_400 or not 1 <= sizes.rate <= 10_000:
        raise WrongUse("--every must be at least 1 second and at most --seconds, --rate between 1 and 10000")
    if not sizes.signals or set(sizes.signals) - SIGNALS.keys():
        raise WrongUse(f"--signals are of {', '.join(SIGNALS)}")
    twice = [RELAY, "projector-rds", "projector-cache", *([AMQP] if os.environ.get("HEADRACE_AMQP_URL") else [])]
    settings = {"HEADRACE_LEASE_SECONDS": str(LEASE_SECONDS), "HEADRACE_VISIBILITY_SECONDS": str(VISIBILITY_SECONDS)}
    wanted = OwnStack(aws, dict.fromkeys(twice, 2), settings, PUT_OFF_SECONDS)

    async def work(here: Path) -> Found:
        return await Killing(ground(here), sizes).run()

    return await on_own_stack(folder, wanted, work)


def told(found: Found) -> str:
    """For people."""
    return (
        f"struck {found['struck']} times, {found['struck_with_work']} with work in hand; {found['accepted']:,} accepted, "
        f"{found['projected']:,} projected; quiet after {found['seconds_to_quiet']} s; {len(found['faults'])} faults"
    )


def main() -> int:
    """Exit 1 when anything does not hold."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.killing", description=__doc__)
    parser.add_argument("--state", type=Path, help="the folder of its stack (default: one in the temporary directory)")
    parser.add_argument("--aws", default="ministack", metavar="auto|localstack|ministack|URL")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--every", type=float, default=2.0, help="seconds from one strike to the next (2)")
    parser.add_argument("--rate", type=float, default=150.0, help="commands a second (150)")
    parser.add_argument("--signals", default="kill", help=f"with commas, of {', '.join(SIGNALS)} (kill)")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    sizes = Sizes(given.seconds, given.every, given.rate, tuple(filter(None, given.signals.split(","))), given.seed)
    return carried_out("loadtest.killing", measure(given.state and given.state.absolute(), given.aws, sizes), told)


if __name__ == "__main__":
    sys.exit(main())
