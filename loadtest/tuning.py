"""What a setting trades: `python -m loadtest.tuning HEADRACE_LINGER_SECONDS=0.05,0.1,0.25`.

For every value a stack of its own with that setting, `--rounds` times, interleaved: first `headrace load` at `--rate` for `--duration`
seconds (latencies, requests, CPU, the audit), then a burst of `--burst` creations of 200 characters as single posts with 512 under way,
through to PostgreSQL and Redis. Told are medians over the rounds. Read differences within one run only.
"""

import argparse
import asyncio
import json
import secrets
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from headrace.errors import StackFailed, WrongUse
from headrace.local.roles import our_command
from loadtest.bench.caller import Caller
from loadtest.bench.job import Job
from loadtest.ground import Found, Ground, carried_out, drained, ground, say, watched
from loadtest.own_stack import OwnStack, on_own_stack
from loadtest.spending import outlay

IN_FLIGHT: Final = 512
WARM: Final = 200
PUT_OFF_SECONDS: Final = 5.0
LOAD_SECONDS: Final = 300.0
"""Beyond its duration, for its drain and audit."""
FIGURES: Final = {
    "accepted_p50_ms": "202, p50 ms",
    "visible_p50_ms": "visible, p50 ms",
    "visible_p99_ms": "p99 ms",
    "requests": "requests per 1,000",
    "cpu_ms": "CPU, ms a command",
    "burst_per_s": "burst: commands/s",
    "burst_requests": "requests per 1,000",
    "burst_cpu_ms": "CPU, ms a command",
}


class Sizes(NamedTuple):
    """Values of one setting; commands a second for so many seconds; commands of the burst."""

    setting: str
    values: tuple[str, ...]
    aws: str
    rate: float
    duration: float
    burst: int
    rounds: int


async def measure(sizes: Sizes) -> Found:
    """Everything. Raises WrongUse, StackFailed."""
    if not sizes.setting.startswith("HEADRACE_") or not sizes.values or sizes.rounds < 1 or sizes.burst < IN_FLIGHT or sizes.rate <= 0:
        raise WrongUse(f"HEADRACE_SETTING=A,B; --rounds at least 1, --burst at least {IN_FLIGHT}, --rate above 0")
    found: dict[str, list[dict[str, float]]] = {value: [] for value in sizes.values}
    faults = list[str]()
    for number in range(1, sizes.rounds + 1):
        for value in sizes.values:
            wanted = OwnStack(sizes.aws, {}, {sizes.setting: value}, PUT_OFF_SECONDS)
            one = await on_own_stack(None, wanted, partial(_one, sizes))
            found[value].append(one["figures"])
            faults += one["faults"]
            say(f"round {number}, {sizes.setting}={value}: {one['figures']}")
    return {**sizes._asdict(), "points": [{"value": value} | middle(each) for value, each in found.items()], "faults": faults}


def middle(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Medians, figure by figure. Pure."""
    return {name: round(median(each[name] for each in rounds), 3) for name in FIGURES}


async def _one(sizes: Sizes, folder: Path) -> Found:
    on = ground(folder)
    report = await _load(on, sizes)
    async with watched(on) as watch:
        await drained(watch)
        caller = Caller(on.stack.gateway)
        await caller.post(Job(f"warm{secrets.token_hex(3)}", WARM, WARM))
        await drained(watch)
        burst = await outlay(watch, caller.post(Job(f"tune{secrets.token_hex(3)}", sizes.burst, IN_FLIGHT)))
    latency = report["latency_ms"]
    figures = {
        "accepted_p50_ms": latency["accepted"]["p50"],
        "visible_p50_ms": latency["visible"]["p50"],
        "visible_p99_ms": latency["visible"]["p99"],
        "requests": report["requests_per_1000_commands"],
        "cpu_ms": report["cpu_ms_per_command"],
        "burst_per_s": sizes.burst / burst.seconds,
        "burst_requests": sum(burst.used.requests.values()) * 1000 / sizes.burst,
        "burst_cpu_ms": sum(burst.used.cpu_ms.values()) / sizes.burst,
    }
    return {"figures": {name: round(value, 3) for name, value in figures.items()}, "faults": report["faults"]}


async def _load(on: Ground, sizes: Sizes) -> dict[str, Any]:
    """The report of `headrace load`. Raises StackFailed without one."""
    words = ["--rate", f"{sizes.rate:g}", "--duration", f"{sizes.duration:g}", "--json", "-", "--state", str(on.folder)]
    process = await asyncio.create_subprocess_exec(*our_command("load", *words), stdout=PIPE, stderr=DEVNULL)
    try:
        async with asyncio.timeout(sizes.duration + LOAD_SECONDS):
            out, _ = await process.communicate()
    except TimeoutError as late:
        raise StackFailed("the load did not end") from late
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if not out.strip():
        raise StackFailed("the load ended without a report")
    report: dict[str, Any] = json.loads(out)
    return report


def table(found: Found) -> str:
    """As Markdown."""
    rows = ("| " + " | ".join([f"`{each['value']}`", *(f"{each[name]:g}" for name in FIGURES)]) + " |" for each in found["points"])
    return "\n".join(["| " + " | ".join([f"`{found['setting']}`", *FIGURES.values()]) + " |", "|---" * (len(FIGURES) + 1) + "|", *rows])


def main() -> int:
    """Exit 1 when a load had faults."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.tuning", description="what a setting trades, measured")
    parser.add_argument("setting", metavar="HEADRACE_SETTING=A,B")
    parser.add_argument("--aws", default="ministack")
    parser.add_argument("--rate", type=float, default=230.0, metavar="R", help="commands a second of the paced load (230)")
    parser.add_argument("--duration", type=float, default=12.0, metavar="S", help="of it (12)")
    parser.add_argument("--burst", type=int, default=5_000, metavar="N", help="creations as fast as they are taken (5000)")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    setting, _, values = given.setting.partition("=")
    sizes = Sizes(setting, tuple(filter(None, values.split(","))), given.aws, given.rate, given.duration, given.burst, given.rounds)
    return carried_out("loadtest.tuning", measure(sizes), table)


if __name__ == "__main__":
    raise SystemExit(main())
