"""One generator process: `python -m loadtest.generator`. Plan and phases come on stdin, what it did goes to stdout, one line each.

Open loop: every request has the moment it is due, fixed beforehand; its latency is counted from there, whatever keeps it from leaving.
"""

import asyncio
import gc
import os
import sys
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop

from loadtest.amqp import AmqpPosts, open_posts
from loadtest.caller import Caller
from loadtest.histograms import encoded
from loadtest.pacing import arrivals
from loadtest.phases import Done, Phase, Plan, Said, Tick
from loadtest.wire import Connections

TICK_SECONDS: Final = 0.25
LATE_SECONDS: Final = 0.05
BATCH_SECONDS: Final = 0.05
"""What is due within so long travels in one request of the batch route."""
NAP_SECONDS: Final = 0.001
WARM: Final = 32
FIRST: Final = -10
"""Nice value."""
_ENCODER: Final = msgspec.json.Encoder()


def say(**what: Any) -> None:
    """A line for the orchestrator."""
    sys.stdout.buffer.write(_ENCODER.encode(Said(**what)) + b"\n")
    sys.stdout.buffer.flush()


class Generator:
    """Carries out phases, one after another."""

    def __init__(self, plan: Plan, connections: Connections, broker: AmqpPosts | None = None) -> None:
        self._plan, self._connections = plan, connections
        self._loop = asyncio.get_running_loop()
        self._caller = Caller(plan, connections, broker)
        self._phases = 0

    async def carry_out(self, phase: Phase) -> Done:
        """Returns when every command was answered, or the phase's time for that is over."""
        self._phases += 1
        script = self._caller.script
        done = Done(first=len(script.states), last=0, began=time.time(), ended=0.0)
        self._caller.begin(done)
        cpu = time.process_time()
        ticking = asyncio.ensure_future(self._tick())
        try:
            await (self._open(phase, done) if phase.rate else self._closed(phase))
            done.last, done.ended = len(script.states), time.time()
            done.unanswered = await self._caller.settle(phase.settle)
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
        done.cpu_ms = round((time.process_time() - cpu) * 1000, 1)
        done.latency = {name: encoded(each) for name, each in self._caller.latencies.items()}
        return done

    async def _open(self, phase: Phase, done: Done) -> None:
        began = self._loop.time()
        batches = self._plan.via == "batch"
        waiting: list[float] = []
        for offset in arrivals(phase.rate, phase.seconds, self._plan.seed * 1009 + self._phases):
            due = began + offset
            if waiting and due > waiting[0] + BATCH_SECONDS:
                await self._until(waiting[0] + BATCH_SECONDS)
                self._caller.post_batch(waiting)
                waiting = []
            if batches:
                waiting.append(due)
                continue
            await self._until(due)
            done.due += 1
            done.late += self._loop.time() - due > LATE_SECONDS
            self._caller.post(due)
        if waiting:
            await self._until(waiting[-1])
            self._caller.post_batch(waiting)
        await self._until(began + phase.seconds)

    async def _until(self, due: float) -> None:
        """Naps of a millisecond: what came due meanwhile leaves together."""
        while (left := due - self._loop.time()) > 0:  # noqa: ASYNC110 - time is what is waited for
            await asyncio.sleep(max(left, NAP_SECONDS))

    async def _closed(self, phase: Phase) -> None:
        """As many in flight as asked for, all the time: finds out what the stack can take."""
        end = self._loop.time() + phase.seconds
        while (now := self._loop.time()) < end:
            while self._caller.in_flight < phase.in_flight:
                self._caller.post(now)
            await self._caller.answered_or(end - now)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            posted, accepted, refused, latency = self._caller.since_last_tick()
            say(tick=Tick(time.time(), posted, accepted, refused, self._caller.in_flight, encoded(latency)))

    def journal(self) -> None:
        """What became of every command, for the check at the end."""
        if self._plan.journal:
            script = self._caller.script
            Path(self._plan.journal).write_bytes(bytes(script.states) + script.targets.tobytes())


async def serve() -> None:
    """Until stdin ends."""
    reader = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    plan = msgspec.json.decode(await reader.readline(), type=Plan)
    connections = Connections(plan.host, plan.port, plan.connections)
    async with AsyncExitStack() as opened:
        broker = await opened.enter_async_context(open_posts(plan.amqp_url)) if plan.amqp_url else None
        generator = Generator(plan, connections, broker)
        await connections.open(WARM)
        say(ready=True)
        while line := await reader.readline():
            say(done=await generator.carry_out(msgspec.json.decode(line, type=Phase)))
        generator.journal()
        connections.close()


def come_first() -> None:
    """The clock of a load must not wait for what it measures: where the system lets us, we are served before the stack."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, FIRST)
    gc.freeze()
    gc.set_threshold(50_000)


if __name__ == "__main__":
    come_first()
    uvloop.run(serve())
