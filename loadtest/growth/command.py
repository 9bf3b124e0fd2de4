"""The command line of an axis."""

import argparse
import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from gateway.client import Client
from headrace.errors import WrongUse
from loadtest.ground import Found, Ground, carried_out, drained, ground, say, watched
from loadtest.growth.axes import COMMANDS, Run, Turn, by_commands, by_heat, by_stored, by_streams, by_text, creations
from loadtest.growth.plot import Panel, plot
from loadtest.growth.turns import Cost, against, checked, measured, middle
from loadtest.growth.workers import by_workers
from loadtest.own_stack import environment
from loadtest.watch import Watch

WARM: Final = 500
POINTS: Final = {
    "commands": (1_000, 10_000, 100_000, 1_000_000),
    "stored": (1_000, 50_000, 200_000, 1_000_000),
    "streams": (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000),
    "heat": (0, 1, 10, 50, 100),
    "text": (20, 100, 200, 1_000, 5_000, 10_000),
    "workers": (1, 2, 3, 4),
}
AXES: Final = {
    "commands": "creations in one turn",
    "stored": "streams stored before the turn",
    "streams": "streams that the updates of a turn go to",
    "heat": "per cent of a turn's updates that go to one comment",
    "text": "characters of a comment",
    "workers": "processes of each role but the gateway",
}
DEADLINE_SECONDS: Final = 300.0
TRAIL_SECONDS: Final = 60.0
"""After which the reconciler, who trails by half a minute, has looked after a turn: its work would be the next turn's."""


class Sizes(NamedTuple):
    """`commands`: of a turn; `rounds`: of all points; `streams`: comments that are made first, on the axis heat; `trail`: seconds."""

    axis: str
    points: tuple[int, ...]
    commands: int
    rounds: int
    streams: int
    trail: float = TRAIL_SECONDS


async def measure(folder: Path, sizes: Sizes, beside: Path | None = None) -> Found:
    """The whole axis, and that everything it did is there. `beside`: a stack that gets the measured turns and no others, each after
    the one of the same number: told is how many times more they cost. Raises WrongUse, StackFailed."""
    if not sizes.points or min(sizes.points) < 0 or sizes.commands < 10 or sizes.rounds < 1 or sizes.streams < 0:
        raise WrongUse("--points and --streams not negative, --commands at least 10, --rounds at least 1")
    if sizes.axis == "stored" and any(b - a < sizes.commands * sizes.rounds for a, b in pairwise(sizes.points)):
        raise WrongUse("--points must be further apart than --commands times --rounds: that many are stored at each")
    if beside and sizes.axis != "stored":
        raise WrongUse("--beside is for the axis stored")
    name = f"grow{secrets.token_hex(4)}"
    costs: dict[str, list[Cost]] = {}
    small: dict[str, list[Cost]] = {}
    places: dict[str, float] = {}
    with environment({}):  # one stack's addresses are not the other's
        small_one = ground(beside) if beside else None
    async with AsyncExitStack() as stack:
        side = await stack.enter_async_context(_side(ground(folder)))
        other = await stack.enter_async_context(_side(small_one)) if small_one else None
        for turn in _turns(name, sizes):
            cost = await _taken(side, turn)
            if not turn.measured:
                if other is not None:
                    await asyncio.sleep(sizes.trail)  # the reconciler looks after a commit half a minute later, and nobody tells
                continue
            places[turn.label] = turn.at
            costs.setdefault(turn.label, []).append(cost)
            if other is not None:
                same = turn._replace(given=creations(Run(name, other.there), turn.commands))
                small.setdefault(turn.label, []).append(await _taken(other, same))
    faults = [fault for each in filter(None, (side, other)) for fault in await checked(each.on, Run(name, 0), each.there, each.versions)]
    points: list[Found] = [{"at": places[label], "label": label} | middle(each) for label, each in costs.items()]
    for point in points if other else ():
        point["beside"] = against(costs[point["label"]], small[point["label"]])
    return {**sizes._asdict(), "stored": side.there, "points": points, "faults": faults}


@dataclass(slots=True)
class _Side:
    """A stack, and what was done on it: comments that are there, commands."""

    on: Ground
    client: Client
    watch: Watch
    there: int = 0
    versions: int = 0


@asynccontextmanager
async def _side(on: Ground) -> AsyncIterator[_Side]:
    async with Client(on.stack.gateway, actor="growth", deadline=DEADLINE_SECONDS) as client, watched(on) as watch:
        await drained(watch)
        yield _Side(on, client, watch)


async def _taken(side: _Side, turn: Turn) -> Cost:
    cost = await measured(side.client, side.watch, turn)
    side.there, side.versions = side.there + turn.creates, side.versions + turn.commands
    say(f"{turn.label}: {cost.per_s:,.0f}/s, {cost.requests:.1f} requests per 1,000, {cost.cpu:.3f} ms of CPU a command")
    return cost


def _turns(name: str, sizes: Sizes) -> Iterator[Turn]:
    """A short one first, unmeasured: a role that has just begun is not what is compared."""
    yield Turn(0, "warm", WARM, WARM, creations(Run(name, 0), WARM), measured=False)
    after = Run(name, WARM)
    match sizes.axis:
        case "commands":
            yield from by_commands(after, sizes.points)
        case "stored":
            yield from by_stored(after, sizes.points, sizes.commands, sizes.rounds)
        case "text":
            for number in range(sizes.rounds):
                made = number * sizes.commands * len(sizes.points)
                yield from by_text(Run(name, WARM + made), sizes.points, sizes.commands)
        case _:
            by, least = (by_streams, max(sizes.points)) if sizes.axis == "streams" else (by_heat, sizes.streams)
            yield Turn(0, f"up to {least:,}", least, least, creations(after, least), measured=False)
            for number in range(sizes.rounds):
                yield from by(Run(name, WARM + least), sizes.points, sizes.commands, number)


def drawn(found: Found) -> str:
    """The axis as a picture."""
    points = found["points"]
    roles = sorted({role for point in points for role in point["cpu_ms_by_role"]})
    panels = [
        Panel("AWS requests per 1,000 commands", {"": [point["requests_per_1000_commands"] for point in points]}),
        Panel("CPU, ms a command", {"all": [point["cpu_ms_per_command"] for point in points]}
              | {role: [point["cpu_ms_by_role"].get(role, 0.0) for point in points] for role in roles}),
        Panel("commands a second, to visible", {"": [point["per_s"] for point in points]}),
    ]  # fmt: skip
    labels, at = [point["label"] for point in points], [point["at"] for point in points]
    return plot(f"Growth: {AXES[found['axis']]}", AXES[found["axis"]], labels, at, panels)


def table(found: Found) -> str:
    """The axis as Markdown."""
    head = f"| {AXES[found['axis']]} | commands/s | requests per 1,000 | CPU, ms a command |"
    with_beside = any("beside" in point for point in found["points"])
    rows = (
        f"| {point['label']} | {point['per_s']:,} | {point['requests_per_1000_commands']} | {point['cpu_ms_per_command']:.3f} |"
        + (f" {point['beside']['requests']} | {point['beside']['cpu']} |" if with_beside else "")
        for point in found["points"]
    )
    more = " times the requests of a small stack beside it | times its CPU |" if with_beside else ""
    return "\n".join([head + more, "|---|---|---|---|" + ("---|---|" if with_beside else ""), *rows])


def main() -> int:
    """Exit 1 when a command is not where it must be."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.growth", description="how cost grows with the work, along one axis")
    parser.add_argument("axis", choices=sorted(POINTS))
    parser.add_argument("--state", type=Path, default=Path(".headrace"), metavar="DIR")
    parser.add_argument("--points", type=_points, metavar="A,B", help="where on the axis; its own otherwise")
    parser.add_argument("--commands", type=int, default=COMMANDS, metavar="N", help=f"of a turn ({COMMANDS})")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of all points, on the axes on which nothing grows for good (3)")
    parser.add_argument("--streams", type=int, default=10_000, metavar="N", help="comments that are there, on the axis heat (10000)")
    parser.add_argument("--aws", default="ministack", help="of the stacks of its own that the axis workers brings up (ministack)")
    parser.add_argument("--beside", type=Path, metavar="DIR", help="stored: another stack, which gets the measured turns only")
    parser.add_argument(
        "--trail", type=float, default=TRAIL_SECONDS, metavar="S", help="with --beside: rest after the store was filled (60)"
    )
    parser.add_argument("--svg", type=Path, metavar="F", help="also draw it")
    given = parser.parse_args()
    sizes = Sizes(given.axis, given.points or POINTS[given.axis], given.commands, given.rounds, given.streams, given.trail)

    def told(found: Found) -> str:
        if given.svg:
            given.svg.write_text(drawn(found))
        return table(found)

    if sizes.axis == "workers":
        return carried_out("loadtest.growth", by_workers(given.aws, sizes.points, sizes.commands, sizes.rounds), told)
    return carried_out("loadtest.growth", measure(given.state, sizes, given.beside), told)


def _points(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(f"{text!r} is not numbers with commas") from wrong
