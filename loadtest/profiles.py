"""Where each role's time goes at saturation: `python -m loadtest.profiles --state DIR` on a live stack.

Creations of 200 characters, each its own stream, go in as single posts, `--in-flight` of them under way, for `--seconds`; after a quarter
of that py-spy samples all five roles until the load ends. Told of each role are its CPU in ms a command over the same time, and its dearest
functions: by themselves, and with all that they call. Shares are of the samples in which a thread of the role was on the CPU; py-spy itself
slows a role down, so shares say more than milliseconds.
"""

import argparse
import asyncio
import secrets
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final, NamedTuple

import aiohttp

from headrace.errors import StackFailed, WrongUse
from headrace.local.roles import ROLES
from headrace.local.state import Part
from headrace.metering import read_meters, spent
from loadtest.bench.caller import Caller
from loadtest.bench.job import Job
from loadtest.ground import Found, Ground, carried_out, drained, ground, watched

TOP: Final = 12
RATE: Final = 200
"""Samples a second."""
FLOOR_MS: Final = 0.004
"""Of a share's worth: less is noise of a sampler."""
_EDGE: Final = 10.0


class Sizes(NamedTuple):
    """Seconds, posts under way, lines told of a role."""

    seconds: float
    in_flight: int
    top: int


class Profile(NamedTuple):
    """Samples of one role: all of them; by function, at the top of the stack and anywhere in it."""

    samples: int
    alone: Counter[str]
    within: Counter[str]


async def measure(folder: Path, sizes: Sizes, keep: Path | None = None) -> Found:
    """Everything. Raises WrongUse, StackFailed."""
    spy = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if spy is None:
        raise WrongUse("py-spy is not installed: it comes with the extra `dev`")
    if not 4 <= sizes.seconds <= 600 or not 1 <= sizes.in_flight <= 4096 or sizes.top < 1:
        raise WrongUse("--seconds 4 to 600, --in-flight 1 to 4096, --top at least 1")
    on = ground(folder)
    roles = [part for part in on.stack.parts if part.role in ROLES and part.pid is not None]
    with TemporaryDirectory(prefix="headrace-profiles-") as name:
        kept = keep or Path(name)
        kept.mkdir(parents=True, exist_ok=True)
        async with watched(on) as watch, aiohttp.ClientSession() as http:
            await drained(watch)
            load = asyncio.create_task(_posted(on, sizes))
            await asyncio.sleep(sizes.seconds / 4)
            before, began = await read_meters(http, roles), monotonic()
            await asyncio.gather(*(_recorded(spy, part, sizes.seconds * 3 / 4, kept) for part in roles))
            after, took = await read_meters(http, roles), monotonic() - began
            posts = await load
            await drained(watch)
        profiles = {part.role: collapsed((kept / part.role).read_text().splitlines()) for part in roles}
    used = spent(before, after)
    return {
        **sizes._asdict(),
        "posts": posts,
        "commands_per_s": round(used.usage.commands / took),
        "roles": {role: _told(each, used.cpu_ms[role] / max(1, used.usage.commands), sizes.top) for role, each in profiles.items()},
        "faults": [],
    }


async def _posted(on: Ground, sizes: Sizes) -> int:
    """Jobs of a thousand after one another until the time is over. How many commands."""
    caller, run, count = Caller(on.stack.gateway), secrets.token_hex(4), 0
    end = monotonic() + sizes.seconds
    while monotonic() < end:
        job = Job(f"prof{run}-{count}", sizes.in_flight * 8, sizes.in_flight)
        await caller.post(job)
        count += job.count
    return count


async def _recorded(spy: str, part: Part, seconds: float, folder: Path) -> None:
    """Raises StackFailed."""
    words = ["record", "--pid", str(part.pid), "--rate", str(RATE), "--duration", f"{max(1, int(seconds))}", "--format", "raw"]
    words += ["--nonblocking", "--output", str(folder / part.role)]
    process = await asyncio.create_subprocess_exec(spy, *words, stdout=DEVNULL, stderr=PIPE)
    try:
        async with asyncio.timeout(seconds + _EDGE * 3):
            _, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0 or not (folder / part.role).exists():
        raise StackFailed(f"py-spy of {part.role}: {err.decode().strip().splitlines()[-1:]}")


def collapsed(lines: Iterable[str]) -> Profile:
    """Of stacks as `a (file:1);b (file:2) COUNT`, outermost first. Pure."""
    samples, alone, within = 0, Counter[str](), Counter[str]()
    for line in lines:
        stack, _, number = line.rpartition(" ")
        if not stack or not number.isdigit():
            continue
        frames = [_function(frame) for frame in stack.split(";")]
        samples += int(number)
        alone[frames[-1]] += int(number)
        within.update(dict.fromkeys(frames, int(number)))
    return Profile(samples, alone, within)


def _function(frame: str) -> str:
    """`name (path/file.py:12)` without its line, the path from the package on."""
    name, _, place = frame.partition(" (")
    path = place.rstrip(")").rpartition(":")[0] or place.rstrip(")")
    short = path.rpartition("site-packages/")[2] or path
    return f"{name} ({'/'.join(short.split('/')[-3:])})" if place else name


def _told(profile: Profile, cpu_ms: float, top: int) -> Found:
    """Functions with their ms a command: the role's CPU by its share of the samples."""

    def dearest(counts: Counter[str], most: int) -> dict[str, float]:
        each = {name: round(cpu_ms * count / max(1, profile.samples), 4) for name, count in counts.most_common(most)}
        return {name: ms for name, ms in each.items() if ms >= FLOOR_MS * cpu_ms}

    return {
        "cpu_ms_per_command": round(cpu_ms, 4),
        "samples": profile.samples,
        "alone": dearest(profile.alone, top),
        "within": dearest(profile.within, 3 * top),
    }


def told(found: Found) -> str:
    """For people."""
    lines = [f"{found['commands_per_s']:,} commands a second, py-spy beside it"]
    for role, each in found["roles"].items():
        lines.append(f"{role}: {each['cpu_ms_per_command']:.3f} ms a command")
        for head in ("alone", "within"):
            lines += [f"  {head}", *(f"    {ms * 1000:7.1f} us  {name}" for name, ms in each[head].items())]
    return "\n".join(lines)


def main() -> int:
    """Exit 2 without py-spy."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.profiles", description="where each role's time goes at saturation")
    parser.add_argument("--state", type=Path, default=Path(".headrace"), metavar="DIR")
    parser.add_argument("--seconds", type=float, default=40.0, metavar="S", help="of load (40)")
    parser.add_argument("--in-flight", type=int, default=512, metavar="N", help="posts under way (512)")
    parser.add_argument("--top", type=int, default=TOP, metavar="N", help=f"functions of a role told ({TOP})")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the collapsed stacks there, a file a role, as flame graphs are made of"
    )
    given = parser.parse_args()
    return carried_out("loadtest.profiles", measure(given.state, Sizes(given.seconds, given.in_flight, given.top), given.keep), told)


if __name__ == "__main__":
    raise SystemExit(main())
