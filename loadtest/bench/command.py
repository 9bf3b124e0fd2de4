"""`headrace bench`: side by side with peers, on servers of its own."""

import asyncio
import os
import platform
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec

from headrace.errors import StackFailed, WrongUse
from headrace.local import state
from headrace.up import decide
from loadtest.bench.ceilings import ITEMS, measure_ceilings
from loadtest.bench.grounds import grounds
from loadtest.bench.nearness import nearness
from loadtest.bench.ours import NAME
from loadtest.bench.report import Report, standing
from loadtest.bench.rounds import take_rounds
from loadtest.bench.subjects import NAMES, subjects, versions
from loadtest.bench.tables import render
from loadtest.bench.turns import Sizes
from runtime.lifecycle import stop_on_signals, unless_stopped

WARM: Final = 60
PACED_SECONDS: Final = 5.0
SATURATED_SECONDS: Final = 6.0
CEILINGS: Final = "ceilings"
CEILING_ITEMS: Final = 10
"""A command of the burst: a small bench has small ceilings too."""


def arguments(parser: ArgumentParser) -> None:
    """Sizes, and who takes part."""
    parser.add_argument("--aws", default="ministack", metavar="localstack|ministack|URL", help="the AWS all of them use (ministack)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--commands", type=int, default=1000, metavar="N", help="commands of each subject's burst in a round (1000)")
    parser.add_argument(
        "--saturated", type=float, default=SATURATED_SECONDS, metavar="S", help="a burst that took less is made again to last so long (6)"
    )
    parser.add_argument("--rate", type=float, default=20.0, metavar="R", help="commands a second where latency is measured (20)")
    parser.add_argument("--paced", type=float, default=PACED_SECONDS, metavar="S", help="for how long it is measured at that rate (5)")
    parser.add_argument("--only", metavar="A,B", help=f"of {', '.join(NAMES)}, and ceilings")
    parser.add_argument("--json", metavar="F", help="also write everything measured as one object to this file; - is stdout")


def main(arguments: Namespace) -> int:
    """Exit 0 when all that were asked for ran, else 1."""
    sizes = _sizes(arguments)
    names = _asked(arguments.only)
    if not Path("/proc/self/stat").exists():
        raise WrongUse("CPU is measured by /proc, which only Linux has")
    folder = state.folder_of(arguments.state) / "bench"
    with state.owned(folder):
        report = asyncio.run(_until_stopped(_bench(folder / "servers", arguments, sizes, names)))
    to_stdout = arguments.json == "-"
    print(render(report), file=sys.stderr if to_stdout else sys.stdout, flush=True)
    if to_stdout:
        print(msgspec.json.encode(report).decode(), flush=True)
    elif arguments.json:
        Path(arguments.json).write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    return 1 if any(each.fault for each in report.subjects) else 0


def _sizes(arguments: Namespace) -> Sizes:
    if arguments.rounds < 1 or arguments.commands < 10 or not 1 <= arguments.rate <= 1000 or not 1 <= arguments.paced <= 600:
        raise WrongUse("--rounds must be at least 1, --commands 10, --rate between 1 and 1000, --paced between 1 and 600 seconds")
    if not 0 <= arguments.saturated <= 60:
        raise WrongUse("--saturated must be between 0 and 60 seconds")
    paced, warm = max(20, int(arguments.rate * arguments.paced)), min(WARM, arguments.commands)
    return Sizes(arguments.commands, paced, arguments.rate, warm, arguments.saturated)


def _asked(only: str | None) -> list[str]:
    asked = only.split(",") if only else [*NAMES, CEILINGS]
    if unknown := set(asked) - {*NAMES, CEILINGS}:
        raise WrongUse(f"--only {','.join(sorted(unknown))}: not of {', '.join((*NAMES, CEILINGS))}")
    return [name for name in (*NAMES, CEILINGS) if name in asked]


async def _until_stopped(work: Coroutine[Any, Any, Report]) -> Report:
    """Ctrl-C and SIGTERM take everything down. Raises StackFailed then."""
    async with stop_on_signals() as stop:
        report = await unless_stopped(stop, work)
    if report is None:
        raise StackFailed("interrupted before the end")
    return report


async def _bench(folder: Path, arguments: Namespace, sizes: Sizes, names: list[str]) -> Report:
    choice = await decide(arguments.aws, folder.parent)
    async with grounds(folder, choice) as servers:
        taking_part = await subjects([name for name in names if name != CEILINGS], servers, folder.parent, say)
        ran = await take_rounds(taking_part, servers, sizes, arguments.rounds, say)
        ceilings = await measure_ceilings(servers, min(ITEMS, CEILING_ITEMS * sizes.commands)) if CEILINGS in names else {}
    return Report(
        backend=choice.name,
        versions={"headrace": version("headrace"), "python": platform.python_version(), **versions()},
        machine={"cpus": str(os.cpu_count()), "system": platform.platform(), "processor": platform.machine()},
        sizes=sizes,
        rounds=arguments.rounds,
        subjects=[standing(each.name, each.guarantees, ran.turns, ran.faults.get(each.name)) for each in taking_part],
        ceilings=ceilings,
        near=nearness(ran.turns.get(NAME, []), ceilings),
    )


def say(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)
