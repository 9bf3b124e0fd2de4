"""The axis of processes: the same creations through stacks of its own with ever more processes of every role but the gateway."""

from functools import partial
from pathlib import Path
from typing import Final

from gateway.client import Client
from loadtest.ground import Found, drained, ground, say, watched
from loadtest.growth.axes import Run, Turn, creations
from loadtest.growth.turns import checked, measured, middle
from loadtest.own_stack import OwnStack, on_own_stack

SCALED: Final = ("commands", "relay", "projector-rds", "projector-cache")
WARM: Final = 500
PUT_OFF_SECONDS: Final = 5.0
DEADLINE_SECONDS: Final = 300.0


async def by_workers(aws: str, points: tuple[int, ...], commands: int, rounds: int) -> Found:
    """One stack a point. Raises StackFailed, WrongUse."""
    told, faults = [], list[str]()
    for point in points:
        wanted = OwnStack(aws, dict.fromkeys(SCALED, point), {}, PUT_OFF_SECONDS)
        found = await on_own_stack(None, wanted, partial(_turns, point, commands, rounds))
        told.append(found["point"])
        faults += found["faults"]
    return {"axis": "workers", "points": told, "commands": commands, "rounds": rounds, "faults": faults}


async def _turns(point: int, commands: int, rounds: int, folder: Path) -> Found:
    on, name = ground(folder), "grow"
    costs, there = [], 0
    async with Client(on.stack.gateway, actor="growth", deadline=DEADLINE_SECONDS) as client, watched(on) as watch:
        await drained(watch)
        for count in (WARM, *[commands] * rounds):
            cost = await measured(client, watch, Turn(point, f"{point}", count, count, creations(Run(name, there), count)))
            there += count
            costs.append(cost)
            say(f"{point} of each: {cost.per_s:,.0f}/s, {cost.requests:.1f} requests per 1,000, {cost.cpu:.3f} ms of CPU a command")
    faults = await checked(on, Run(name, 0), there, there)
    return {"point": {"at": point, "label": f"{point}"} | middle(costs[1:]), "faults": faults}
