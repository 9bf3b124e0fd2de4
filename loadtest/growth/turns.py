"""One turn, measured: what the five roles spent on its commands, from before its first post until the projectors have passed it."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from sqlalchemy import func, select

from events.ids import Version
from gateway.client import Client
from headrace.errors import StackFailed
from loadtest.flood import flood, not_there, stream_of
from loadtest.ground import Found, Ground, say, stored
from loadtest.growth.axes import Run, Turn
from loadtest.spending import APPLIED, outlay
from loadtest.watch import Watch
from readmodel.comments.tables import COMMENTS
from readmodel.database import AUDITING, database_errors, open_database


class Cost(NamedTuple):
    """Of one turn: AWS requests per 1,000 commands by call, the roles' CPU in ms a command, their memory in MB at its end."""

    per_s: float
    calls: dict[str, float]
    cpu_ms: dict[str, float]
    rss_mb: dict[str, float]

    @property
    def requests(self) -> float:
        return sum(self.calls.values())

    @property
    def cpu(self) -> float:
        return sum(self.cpu_ms.values())


async def measured(client: Client, watch: Watch, turn: Turn) -> Cost:
    """Post it, drain it. Raises StackFailed when not every command was applied once."""
    found = await outlay(watch, flood(client, turn.given()))
    if (applied := found.counted(APPLIED)) != turn.commands:
        raise StackFailed(f"of {turn.commands} commands {applied} were applied")
    each = 1 / turn.commands
    return Cost(
        turn.commands / found.seconds,
        {call: 1000 * count * each for call, count in found.used.requests.items()},
        {role: ms * each for role, ms in found.used.cpu_ms.items()},
        found.after.rss_mb,
    )


def middle(costs: Sequence[Cost]) -> Found:
    """Medians over the rounds of one point, as told. Pure."""
    calls = sorted({call for each in costs for call in each.calls})
    roles = sorted({role for each in costs for role in each.cpu_ms})
    return {
        "per_s": round(median(each.per_s for each in costs)),
        "requests_per_1000_commands": round(median(each.requests for each in costs), 2),
        "cpu_ms_per_command": round(median(each.cpu for each in costs), 4),
        "by_call": {call: round(median(each.calls.get(call, 0.0) for each in costs), 2) for call in calls},
        "cpu_ms_by_role": {role: round(median(each.cpu_ms.get(role, 0.0) for each in costs), 4) for role in roles},
        "rss_mb": costs[-1].rss_mb,
    }


def against(costs: Sequence[Cost], others: Sequence[Cost]) -> dict[str, float]:
    """How many times as much, round by round: medians. Pure."""
    pairs = list(zip(costs, others, strict=True))
    return {
        "requests": round(median(one.requests / other.requests for one, other in pairs), 2),
        "cpu": round(median(one.cpu / other.cpu for one, other in pairs), 2),
        "per_s": round(median(one.per_s / other.per_s for one, other in pairs), 2),
    }


async def checked(on: Ground, run: Run, there: int, versions: int) -> list[str]:
    """What is wrong with the run's comments 0 to `there`: each read from the event store by its key, and counted in PostgreSQL.

    `versions`: of all of them together, that is, commands applied to them. By keys, since an emulator's scan costs the square of its table.
    """
    say(f"looking {there:,} streams up in the event store by their keys")
    wanted = ((stream_of(run.comment(number)), Version(1), f"new-{run.comment(number)}") for number in range(there))
    async with stored(on) as store:
        _, faults = await not_there(store, wanted)
    rows = select(func.count(), func.sum(COMMENTS.c.version)).where(COMMENTS.c.comment_id.like(f"{run.name}-%"))
    with database_errors():
        async with open_database(on.settings, AUDITING) as database, database.engine.connect() as connection:
            count, found = (await connection.execute(rows)).one()
    if (count, found or 0) != (there, versions):
        faults.append(f"I4 {count} rows with {found or 0} versions in all, for {there} creations and {versions} commands")
    return faults
