"""A stack that does nothing, and the first command after that: `python -m loadtest.idle --state DIR` on a live stack.

For `--seconds`, after `--rest` seconds of quiet, every AWS request of every role is counted. Then `--repeats` times: `--rest` seconds of
quiet, one comment created, and read back in a query held to its token; told is the time from its post to that answer. A fault is more
than three requests a second, a median of more than 400 ms, and a comment that is not there.
"""

import argparse
import asyncio
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Final, NamedTuple

import aiohttp

from gateway.client import Client
from headrace.errors import StackFailed, WrongUse
from headrace.metering import Reading, Spent, read_meters, spent
from loadtest.ground import Found, Ground, carried_out, ground, say

REQUESTS_A_SECOND: Final = 3.0
VISIBLE_MS: Final = 400.0
WAIT_SECONDS: Final = 10.0


class Sizes(NamedTuple):
    """Times in seconds."""

    seconds: float
    rest: float
    repeats: int


async def measure(folder: Path, sizes: Sizes) -> Found:
    """Everything. Raises WrongUse, StackFailed."""
    if sizes.seconds < 1 or sizes.rest < 0 or sizes.repeats < 1:
        raise WrongUse("--seconds and --repeats at least 1, --rest not negative")
    on = ground(folder)
    async with aiohttp.ClientSession() as http, Client(on.stack.gateway, actor="idle") as client:
        say(f"quiet for {sizes.rest:g} s, then counting for {sizes.seconds:g} s")
        await asyncio.sleep(sizes.rest)
        before, began = await _read(http, on), monotonic()
        await asyncio.sleep(sizes.seconds)
        after, seconds = await _read(http, on), monotonic() - began
        if before.pids != after.pids:
            raise StackFailed("a role died meanwhile")
        visible = []
        for number in range(1, sizes.repeats + 1):
            await asyncio.sleep(sizes.rest)
            visible.append(await _seen(client))
            say(f"after {sizes.rest:g} s of quiet: visible after {visible[-1]:.0f} ms ({number} of {sizes.repeats})")
    return summed(sizes, spent(before, after), seconds, visible)


async def _read(http: aiohttp.ClientSession, on: Ground) -> Reading:
    found = await read_meters(http, on.stack.parts)
    if found.silent:
        raise StackFailed(f"no answer from {', '.join(found.silent)}")
    return found


async def _seen(client: Client) -> float:
    """Milliseconds from a comment's post to a query that shows it. Raises StackFailed."""
    began = monotonic()
    receipt = await client.create_comment("idle", "first after a while", wait=WAIT_SECONDS)
    if receipt.token is None:
        raise StackFailed(f"the comment was not applied within {WAIT_SECONDS:g} s")
    comment = await client.comment(receipt.stream.removeprefix("comment-"), after=[receipt.token], wait=WAIT_SECONDS)
    if comment is None:
        raise StackFailed("the comment is not there")
    return (monotonic() - began) * 1000


def summed(sizes: Sizes, used: Spent, seconds: float, visible: list[float]) -> Found:
    """Requests a second in all, by role and by call; times in ms. Pure."""
    each = sum(used.requests.values()) / seconds
    middle = median(visible)
    faults = []
    if each >= REQUESTS_A_SECOND:
        faults.append(f"{each:.2f} requests a second; the bound is {REQUESTS_A_SECOND:g}")
    if middle > VISIBLE_MS:
        faults.append(f"visible after {middle:.0f} ms at the median; the bound is {VISIBLE_MS:g}")
    return {
        **sizes._asdict(),
        "requests_per_s": round(each, 3),
        "by_role": {role: round(sum(calls.values()) / seconds, 3) for role, calls in sorted(used.requests_by_role.items())},
        "by_call": {call: round(count / seconds, 3) for call, count in sorted(used.requests.items())},
        "cpu_ms_per_s": {role: round(spent_ms / seconds, 2) for role, spent_ms in sorted(used.cpu_ms.items())},
        "visible_ms": {"p50": round(middle, 1), "max": round(max(visible), 1)},
        "faults": faults,
    }


def told(found: Found) -> str:
    """For people."""
    visible = found["visible_ms"]
    return (
        f"idle: {found['requests_per_s']} AWS requests a second; first command visible after {visible['p50']} ms, {visible['max']} at most"
    )


def main() -> int:
    """Exit 1 when a bound is missed."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.idle", description=__doc__)
    parser.add_argument("--state", default=".headrace")
    parser.add_argument("--seconds", type=float, default=60.0, help="of counting (60)")
    parser.add_argument("--rest", type=float, default=20.0, help="of quiet before (20)")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    return carried_out("loadtest.idle", measure(Path(given.state), Sizes(given.seconds, given.rest, given.repeats)), told)


if __name__ == "__main__":
    raise SystemExit(main())
