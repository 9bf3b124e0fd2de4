"""`headrace status`: each part of the stack, queue depths, lag, parked streams."""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from headrace.local import state
from headrace.local.environment import merged
from headrace.local.probes import answers
from headrace.local.roles import our_command

if TYPE_CHECKING:
    from headrace.observe import Observed

READY, UNREADY, NO_STACK = 0, 1, 2
_WATCH_SECONDS: Final = 2.0


class PartStatus(msgspec.Struct, frozen=True):
    """One part as it is now. `pid` is null for a server that is not ours."""

    name: str
    role: str
    pid: int | None
    ready: bool
    url: str
    restarts: int


class Status(msgspec.Struct, frozen=True):
    """The object of `status --json` and `up --json`. `outside`: our folder in the temporary directory, if one is used.
    `generations`: by projector, the one that queries read, then those fed beside it (a rebuild, or what can be rolled back to)."""

    backend: str
    gateway: str
    state: str
    parts: tuple[PartStatus, ...]
    queues: dict[str, int]
    lag_seconds: dict[str, float]
    parked: int
    phase: str
    outside: str | None = None
    append: str = ""
    partitions: int = 0
    cache_hits: float | None = None
    changing_to: int | None = None
    discarded: int = 0
    generations: dict[str, list[int]] = msgspec.field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether the stack is up and every part of it is ready."""
        return self.phase == "ready" and all(part.ready for part in self.parts)


def arguments(parser: ArgumentParser) -> None:
    """How to show it."""
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    parser.add_argument("--watch", action="store_true", help="again every two seconds, until Ctrl-C or the stack is gone")


def main(arguments: Namespace) -> int:
    """Exit 0: all ready; 1: something is not; 2: no stack here."""
    return asyncio.run(_show(state.folder_of(arguments.state), as_json=arguments.json, watch=arguments.watch))


async def look(folder: Path) -> Status | None:
    """The stack of this folder as it is now; None when none is up."""
    stack = state.live(folder)
    if stack is None:
        return None
    parts = await asyncio.gather(*(_part(part) for part in stack.parts))
    listeners = [(part.role, part.url) for part in stack.parts if part.pid is not None]
    seen = await _observe(merged(os.environ, stack.environment), listeners) if stack.environment else None
    return Status(
        backend=stack.backend,
        gateway=stack.gateway,
        state=str(folder),
        parts=tuple(parts),
        queues=seen.queues if seen else {},
        lag_seconds=seen.lag_seconds if seen else {},
        parked=seen.parked if seen else 0,
        phase=stack.phase,
        outside=stack.outside,
        append=seen.append if seen else "",
        partitions=seen.partitions if seen else 0,
        cache_hits=seen.cache_hits if seen else None,
        changing_to=seen.changing_to if seen else None,
        discarded=seen.discarded if seen else 0,
        generations=seen.generations if seen else {},
    )


async def print_status(folder: Path) -> None:
    """`status --json` of a stack that this process brought up. A process of its own: AWS's libraries take their keys from
    the environment, and ours must keep the caller's for the roles."""
    sys.stdout.flush()
    process = await asyncio.create_subprocess_exec(*our_command("status", "--json", "--state", str(folder)))
    await process.wait()


def exit_code(status: Status | None) -> int:
    """What a look comes to."""
    if status is None:
        return NO_STACK
    return READY if status.ready else UNREADY


def render(status: Status) -> str:
    """For people."""
    lines = [f"{status.backend} · {status.gateway} · {status.phase} · state {status.state}"]
    if status.outside:
        lines.append(f"PostgreSQL's files are in {status.outside} (no other user can enter the state folder)")
    for part in status.parts:
        again = f"  restarted {part.restarts} times" if part.restarts else ""
        pid = part.pid if part.pid is not None else "-"
        lines.append(f"  {part.name:<16} {'ready' if part.ready else 'NOT READY':<10} {pid!s:>8}  {part.url}{again}")
    lines.append("queues  " + "  ".join(f"{name} {depth}" for name, depth in status.queues.items()))
    hits = "-" if status.cache_hits is None else f"{status.cache_hits:.0%}"
    changing = f" (changing to {status.changing_to}: no commands are taken)" if status.changing_to else ""
    lines.append(f"appends {status.append or '-'}    partitions {status.partitions or '-'}{changing}    state cache hits {hits}")
    lags = "  ".join(f"{name} {seconds:.1f} s" for name, seconds in status.lag_seconds.items())
    discarded = f" ({status.discarded} more discarded)" if status.discarded else ""
    lines.append(f"lag     {lags or '-'}    parked {status.parked}{discarded}")
    for name, (current, *beside) in status.generations.items():
        if current > 1 or beside:
            fed = f", fed beside it: {', '.join(map(str, beside))}" if beside else ""
            lines.append(f"{name:<7} generation {current}{fed}")
    return "\n".join(lines)


async def _show(folder: Path, *, as_json: bool, watch: bool) -> int:
    while True:
        status = await look(folder)
        if status is None:
            print(f"headrace status: no stack is up in {folder}", file=sys.stderr)
            return NO_STACK
        print(msgspec.json.encode(status).decode() if as_json else render(status), flush=True)
        if not watch:
            return exit_code(status)
        await asyncio.sleep(_WATCH_SECONDS)


async def _observe(known: dict[str, str], listeners: list[tuple[str, str]]) -> "Observed":
    from headrace.observe import observe  # noqa: PLC0415 - AWS's libraries take a second; `headrace up` is not to wait

    return await observe(known, listeners)


async def _part(part: state.Part) -> PartStatus:
    """Ready is asked now, of the part itself; a part of ours with no process is not, whoever answers there."""
    ready = (part.given or part.pid is not None) and await answers(part.probe)
    return PartStatus(part.name, part.role, part.pid, ready, part.url, part.restarts)
