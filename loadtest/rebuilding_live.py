"""A rebuild of many events on a live stack, end to end: `python -m loadtest.rebuilding_live --state DIR [--events N]`.

First so many comments are created. Then, while `headrace rebuild rds` runs, some callers go on: each posts a command and waits for its
outcome, reads the comment with its token, and reads it again without. Every answer counts: a post that is not applied, a read that is not
200 or shows less than its token are faults. At the end everything is audited. Told are the rebuild's own figures, and how long the slowest
post and the slowest read took; beside them the slowest of bare puts beside a bare scan of the same table, and of four puts in a row, which
is how many calls a post waits for.
"""

import argparse
import asyncio
import json
import secrets
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

import aiohttp

from gateway.client import Client, Command
from headrace.audit.checking import audit
from headrace.errors import StackFailed, WrongUse
from headrace.local.roles import our_command
from loadtest.bare_scan import bare_scan
from loadtest.flood import creation, flood
from loadtest.ground import Found, Ground, carried_out, drained, ground, say, watched

EVENTS: Final = 100_000
CALLERS: Final = 4
SECONDS: Final = 30.0
SETTLE_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.05


@dataclass(slots=True)
class Seen:
    """By the callers that went on."""

    posts: int = 0
    reads: int = 0
    slowest_post: float = 0.0
    slowest_read: float = 0.0
    faults: list[str] = field(default_factory=list)


def main() -> int:
    """Exit 1 when anybody noticed anything, or the audit does."""
    parser = argparse.ArgumentParser(prog="loadtest.rebuilding_live", description="a rebuild on a live stack, seen by its callers")
    parser.add_argument("--state", type=Path, default=Path(".headrace"), metavar="DIR")
    parser.add_argument("--events", type=int, default=EVENTS, metavar="N")
    arguments = parser.parse_args()

    def told(found: Found) -> str:
        return (
            f"{found['rebuild']['events']:,} events: scanned {found['rebuild']['events_per_s']:,.0f} a second, switched after "
            f"{found['rebuild']['seconds']:.1f} s; {found['posts']} posts and {found['reads']} reads meanwhile, the slowest "
            f"{found['slowest_post_ms']:.0f} and {found['slowest_read_ms']:.0f} ms; beside a bare scan the slowest put "
            f"{found['bare']['slowest_put_ms']:.0f} ms, four in a row {found['bare']['slowest_four_ms']:.0f} ms"
        )

    return carried_out("rebuilding_live", _measured(arguments.state, arguments.events), told)


async def _measured(folder: Path, events: int) -> Found:
    if events < 1:
        raise WrongUse("--events must be above 0")
    on = ground(folder)
    run = f"rebuild{secrets.token_hex(4)}"
    await _filled(on, run, events)
    stop, seen = asyncio.Event(), Seen()
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    async with aiohttp.ClientSession(base_url=on.stack.gateway, timeout=timeout) as http, asyncio.TaskGroup() as callers:
        for number in range(CALLERS):
            callers.create_task(_caller(http, f"{run}-live-{number}", seen, stop))
        try:
            report = await _rebuilt(folder)
        finally:
            stop.set()
    bare = await bare_scan(on)
    findings = await audit(on.settings, SETTLE_SECONDS)
    faults = [*seen.faults, *(f"{each.invariant} {each.stream}: {each.detail}" for each in findings.differences)]
    return {
        "rebuild": report,
        "posts": seen.posts,
        "reads": seen.reads,
        "slowest_post_ms": round(seen.slowest_post * 1000, 1),
        "slowest_read_ms": round(seen.slowest_read * 1000, 1),
        "bare": {
            "scan_s": round(bare.scan, 2),
            "puts": bare.puts,
            "slowest_put_ms": round(bare.slowest_put * 1000, 1),
            "slowest_four_ms": round(bare.slowest_four * 1000, 1),
            "slowest_put_beside_nothing_ms": round(bare.quiet * 1000, 1),
        },
        "audited": {"streams": findings.streams, "events": findings.events, "ok": findings.ok},
        "faults": faults[:20],
    }


async def _filled(on: Ground, run: str, events: int) -> None:
    """Until the projectors have it."""
    async with watched(on) as watch, Client(on.stack.gateway, actor="rebuilding", deadline=120.0) as client:
        await flood(client, (creation(f"{run}-{number}") for number in range(events)))
        say(f"{events:,} comments posted")
        await drained(watch)


async def _rebuilt(folder: Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(*our_command("rebuild", "rds", "--json", "--state", str(folder)), stdout=PIPE)
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if process.returncode != 0:
        raise StackFailed(f"the rebuild ended with {process.returncode}: {out.decode()}")
    report: dict[str, Any] = json.loads(out)
    return report


async def _caller(http: aiohttp.ClientSession, comment: str, seen: Seen, stop: asyncio.Event) -> None:
    version = 0
    while not stop.is_set():
        command = creation(comment) if version == 0 else _update(comment, version)
        version += 1
        await _post(http, command, seen)
        token = f"comment-{comment}@{version}"
        await _get(http, f"/comments/{comment}?after={token}&wait=10", version, seen)
        await _get(http, f"/comments/{comment}", 0, seen)
        await asyncio.sleep(PAUSE_SECONDS)


def _update(comment: str, version: int) -> Command:
    return Command("comment.update", {"comment_id": comment, "text": f"text {version}"}, f"{comment}-{version}")


async def _post(http: aiohttp.ClientSession, command: Command, seen: Seen) -> None:
    began = monotonic()
    data = {"name": command.name, "data": command.data, "id": command.id}
    async with http.post("/commands", json=data, headers={"Headrace-Actor": "rebuilding", "Prefer": "wait=20"}) as answer:
        if answer.status not in (200, 201):
            seen.faults.append(f"a post was answered {answer.status}: {(await answer.text())[:200]}")
        await answer.read()
    seen.posts += 1
    seen.slowest_post = max(seen.slowest_post, monotonic() - began)


async def _get(http: aiohttp.ClientSession, path: str, least: int, seen: Seen) -> None:
    began = monotonic()
    async with http.get(path) as answer:
        shown = await answer.json(content_type=None)
        if answer.status != 200:
            seen.faults.append(f"{path} was answered {answer.status}: {shown}")
        elif shown["version"] < least:
            seen.faults.append(f"{path} shows version {shown['version']}")
    seen.reads += 1
    seen.slowest_read = max(seen.slowest_read, monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
