"""Many comments, and then everything audited: `python -m loadtest.large --state DIR --comments 200000` on a live stack.

Some callers, one batch request after another each, create comments and update and delete their own at random, as fast as the stack
takes them, with no more than `--backlog` commands on their way. Then the projectors catch up, rows and positions are counted, and
`headrace audit` holds everything stored against everything shown; told is how long it took and how much memory it had.
"""

import argparse
import asyncio
import json
import random
import resource
import secrets
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select

from gateway.client import Client, Command
from headrace.errors import StackFailed, WrongUse
from headrace.local.roles import our_command
from loadtest.flood import AT_ONCE, LINES, creation, deletion, post, stream_of
from loadtest.ground import Found, Ground, carried_out, drained, ground, say, watched
from loadtest.watch import Look
from readmodel.comments.tables import COMMENTS
from readmodel.control import CACHE, POSITIONS
from readmodel.database import AUDITING, database_errors, open_database
from runtime.settings import Settings

UPDATES, DELETES = 0.35, 0.12
"""Of the commands, once there is something to change; the rest creates."""
SETTLE_SECONDS: Final = 30.0
AUDIT_SECONDS: Final = 3600.0
TELL: Final = 20_000


class Sizes(NamedTuple):
    """Comments in all; commands on their way, at most about."""

    comments: int
    backlog: int
    seed: int


class Script:
    """One caller's commands, in order: only its own comments, so that their order is known. Pure."""

    def __init__(self, run: str, caller: int, comments: int, seed: int) -> None:
        self._names = (f"{run}-{caller}-{number}" for number in range(comments))
        self._chance = random.Random(seed * 1009 + caller)  # noqa: S311 - the same script every time
        self._left = comments
        self._alive: list[tuple[str, int]] = []
        """(comment, version)."""

    def __iter__(self) -> Iterator[Command]:
        while self._left:
            drawn = self._chance.random()
            if drawn < UPDATES + DELETES and self._alive:
                yield self._change(delete=drawn >= UPDATES)
            else:
                self._left -= 1
                name = next(self._names)
                self._alive.append((name, 1))
                yield creation(name)

    def _change(self, *, delete: bool) -> Command:
        place = self._chance.randrange(len(self._alive))
        name, version = self._alive[place]
        self._alive[place] = self._alive[-1]
        self._alive.pop()
        if delete:
            return deletion(name)
        self._alive.append((name, version + 1))
        return Command("comment.update", {"comment_id": name, "text": f"edit {version} of {name}"}, f"upd-{name}-{version}")


class Large:
    """One run."""

    def __init__(self, on: Ground, sizes: Sizes) -> None:
        self._on, self._sizes = on, sizes
        self.run = f"large{secrets.token_hex(4)}"
        self.comments, self.accepted = sizes.comments, 0
        self._base: dict[str, float] = {}
        self._waiting = 0.0
        self._looked = asyncio.Event()

    def look(self, look: Look) -> None:
        """One of the watch's."""
        stages = look.backlogs(0.0).waiting
        self._base = self._base or stages
        self._waiting = max(count - self._base[stage] for stage, count in stages.items())
        self._looked.set()

    async def post(self) -> None:
        """All of it, accepted. Raises StackFailed, Unavailable."""
        shares = [self._sizes.comments // AT_ONCE + (caller < self._sizes.comments % AT_ONCE) for caller in range(AT_ONCE)]
        async with Client(self._on.stack.gateway, actor="large", deadline=120.0) as client, asyncio.TaskGroup() as callers:
            for caller, share in enumerate(shares):
                callers.create_task(self._call(client, iter(Script(self.run, caller, share, self._sizes.seed))))

    async def _call(self, client: Client, commands: Iterator[Command]) -> None:
        while part := list(islice(commands, LINES)):
            while self._waiting > self._sizes.backlog:
                self._looked.clear()
                await self._looked.wait()
            await post(client, part)
            before, self.accepted = self.accepted, self.accepted + len(part)
            if self.accepted // TELL > before // TELL:
                say(f"  {self.accepted:,} commands accepted")


async def measure(folder: Path, sizes: Sizes) -> Found:
    """Everything. Raises WrongUse, StackFailed."""
    if sizes.comments < AT_ONCE or sizes.backlog < LINES:
        raise WrongUse(f"--comments at least {AT_ONCE}, --backlog at least {LINES}")
    on = ground(folder)
    large = Large(on, sizes)
    async with watched(on, large.look) as watch:
        await drained(watch)
        began = time.time()
        say(f"{sizes.comments:,} comments, with updates and deletions among them")
        await large.post()
        say(f"{large.accepted:,} commands accepted in {time.time() - began:.0f} s; draining")
        passed = await drained(watch)
    faults = await _views(on.settings, large)
    say("auditing")
    began_audit = time.monotonic()
    code, findings = await _audited(folder)
    faults += [f"{each['invariant']} {each['stream']}: {each['detail']}" for each in findings["differences"][:20]]
    faults += ["the audit is not clean"] if code else []
    return {
        **sizes._asdict(),
        "commands": large.accepted,
        "through_per_s": round(large.accepted / (passed - began)),
        "audit": {name: count for name, count in findings.items() if name != "differences"},
        "audit_s": round(time.monotonic() - began_audit, 1),
        "audit_rss_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        "faults": faults,
    }


async def _audited(folder: Path) -> tuple[int, dict[str, Any]]:
    """(exit code, findings), by a process of its own: the only child of this one, so that its memory is known."""
    words = ("audit", "--json", "--settle", f"{SETTLE_SECONDS:g}", "--state", str(folder))
    audit = await asyncio.create_subprocess_exec(*our_command(*words), stdout=PIPE, stderr=sys.stderr)
    try:
        async with asyncio.timeout(AUDIT_SECONDS):
            out, _ = await audit.communicate()
    except TimeoutError as late:
        raise StackFailed(f"the audit took over {AUDIT_SECONDS:g} s") from late
    finally:
        if audit.returncode is None:
            audit.kill()
            await audit.wait()
    if not out.strip():
        raise StackFailed(f"the audit ended with {audit.returncode} and found nothing")
    findings: dict[str, Any] = json.loads(out)
    return audit.returncode or 0, findings


async def _views(settings: Settings, large: Large) -> list[str]:
    """Every comment once, and in all as many versions as commands: each of them changed something."""
    wanted = (large.comments, large.accepted)
    rows = select(func.count(), func.sum(COMMENTS.c.version)).where(COMMENTS.c.comment_id.like(f"{large.run}-%"))
    passed = select(func.count(), func.sum(POSITIONS.c.version)).where(
        POSITIONS.c.projector == CACHE, POSITIONS.c.stream.like(f"{stream_of(large.run)}-%")
    )
    faults = []
    with database_errors():
        async with open_database(settings, AUDITING) as database, database.engine.connect() as connection:
            for name, query in (("rows", rows), ("positions of the cache projector", passed)):
                count, versions = (await connection.execute(query)).one()
                if (count, versions or 0) != wanted:
                    faults.append(f"I4 {count} {name} with {versions or 0} versions in all, not {wanted[0]} with {wanted[1]}")
    return faults


def told(found: Found) -> str:
    """For people."""
    clean = "clean" if not found["faults"] else f"{len(found['faults'])} faults"
    return (
        f"{found['comments']:,} comments by {found['commands']:,} commands, {found['through_per_s']:,}/s through every hop; audit {clean}"
        f" in {found['audit_s']} s and {found['audit_rss_mb']} MB"
    )


def main() -> int:
    """Exit 1 when anything differs."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.large", description=__doc__)
    parser.add_argument("--state", default=".headrace")
    parser.add_argument("--comments", type=int, default=200_000)
    parser.add_argument("--backlog", type=int, default=20_000, help="commands on their way, at most about so many (20000)")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    sizes = Sizes(given.comments, given.backlog, given.seed)
    return carried_out("loadtest.large", measure(Path(given.state), sizes), told)


if __name__ == "__main__":
    raise SystemExit(main())
