"""The generator processes of one load: started, told their phases, listened to, ended."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import msgspec

from headrace.errors import StackFailed
from loadtest.phases import SAID, Done, Phase, Plan, Tick

START_SECONDS: Final = 20.0
LATE_SECONDS: Final = 30.0
"""Beyond a phase's own time and settling: then a generator is given up."""


@dataclass(slots=True)
class _Member:
    plan: Plan
    process: asyncio.subprocess.Process
    stdout: asyncio.StreamReader
    stdin: asyncio.StreamWriter


class Fleet:
    """Generators that share one load equally."""

    def __init__(self, members: list[_Member], ticked: Callable[[int, Tick], None]) -> None:
        self._members, self._ticked = members, ticked

    async def carry_out(self, phase: Phase) -> list[Done]:
        """All of them at once; `phase` is of all together."""
        count = len(self._members)
        share = msgspec.structs.replace(phase, rate=phase.rate / count, in_flight=-(-phase.in_flight // count))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._phase(each, share)) for each in self._members]
        return [task.result() for task in tasks]

    async def _phase(self, member: _Member, phase: Phase) -> Done:
        member.stdin.write(msgspec.json.encode(phase) + b"\n")
        await member.stdin.drain()
        try:
            async with asyncio.timeout(phase.seconds + phase.settle + LATE_SECONDS):
                while True:
                    said = SAID.decode(await _line(member))
                    if said.tick is not None:
                        self._ticked(member.plan.worker, said.tick)
                    if said.done is not None:
                        return said.done
        except TimeoutError:
            raise StackFailed(f"generator {member.plan.worker} did not end its phase in time") from None

    async def end(self) -> None:
        """They write their journals and go."""
        for each in self._members:
            each.stdin.close()
        async with asyncio.timeout(START_SECONDS):
            await asyncio.gather(*(each.process.wait() for each in self._members))


async def _line(member: _Member) -> bytes:
    line = await member.stdout.readline()
    if not line:
        raise StackFailed(f"generator {member.plan.worker} ended with {await member.process.wait()}")
    return line


@asynccontextmanager
async def open_fleet(plans: list[Plan], ticked: Callable[[int, Tick], None]) -> AsyncIterator[Fleet]:
    """Ready to start; none is left behind."""
    members: list[_Member] = []
    try:
        for plan in plans:
            members.append(await _start(plan))  # noqa: PERF401 - those started must be known when a later one fails
        yield Fleet(members, ticked)
    finally:
        for each in members:
            if each.process.returncode is None:
                each.process.kill()
                await each.process.wait()


async def _start(plan: Plan) -> _Member:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtest.generator", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**22
    )
    if process.stdin is None or process.stdout is None:
        raise StackFailed("a generator has no pipes")
    member = _Member(plan, process, process.stdout, process.stdin)
    process.stdin.write(msgspec.json.encode(plan) + b"\n")
    async with asyncio.timeout(START_SECONDS):
        if not SAID.decode(await _line(member)).ready:
            raise StackFailed(f"generator {plan.worker} is not ready")
    return member
