"""What the roles spend on some work: their meters from before its first post until the projectors have passed it."""

from collections.abc import Awaitable
from typing import Final, NamedTuple

from headrace.errors import StackFailed
from headrace.metering import Reading, Spent, spent
from loadtest.ground import drained
from loadtest.watch import Watch

WORKER: Final = "commands"
APPLIED: Final = 'headrace_commands_total{status="applied"}'


class Outlay(NamedTuple):
    """`seconds`: until all of it was projected."""

    used: Spent
    seconds: float
    before: Reading
    after: Reading

    def counted(self, name: str) -> int:
        """By the command workers meanwhile; `name` with its labels as in `/metrics`."""
        return round(self.after.counters[WORKER].get(name, 0.0) - self.before.counters[WORKER].get(name, 0.0))


async def outlay(watch: Watch, work: Awaitable[object]) -> Outlay:
    """Do the work, drain the stack. Raises StackFailed when a role died meanwhile or does not answer, and what the work raises."""
    began = await watch.look(frame=True)
    before = watch.readings[-1]
    await work
    ended = await drained(watch)
    await watch.look(frame=True)
    after = watch.readings[-1]
    if before.silent or after.silent or before.pids != after.pids:
        raise StackFailed("a role died, or did not answer, in the middle of a turn")
    return Outlay(spent(before, after), ended - began.at, before, after)
