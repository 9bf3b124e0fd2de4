"""What a measurement of a live stack stands on: its settings, its meters, its event store; and how such a command ends."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import uvloop

from events.dynamo_store import open_store
from events.store import EventStore
from headrace.errors import StackFailed, WrongUse
from headrace.local import state
from headrace.local.environment import merged
from loadtest.watch import Look, Watch
from runtime.aws import open_aws
from runtime.errors import HeadraceError
from runtime.lifecycle import stop_on_signals, unless_stopped
from runtime.settings import Settings, load
from runtime.stack import load_stack

FIRST_LOOK_SECONDS: Final = 30.0
KEPT: Final = 4
"""Looks and readings: a long measurement keeps for itself what it needs of them."""
DONE, FAILED, WRONG = 0, 1, 2
Found = dict[str, Any]
"""What was measured. `faults` is among it."""


class Ground(NamedTuple):
    """A stack that is up."""

    folder: Path
    stack: state.Stack
    settings: Settings

    def part(self, role: str) -> state.Part:
        """That role as written down now. Raises StackFailed."""
        stack = state.live(self.folder)
        found = next((part for part in stack.parts if part.role == role), None) if stack else None
        if found is None:
            raise StackFailed(f"the stack has no {role} any more")
        return found


def ground(folder: Path) -> Ground:
    """Of the stack of this folder. The environment becomes the stack's: credentials are read by the SDK only. Raises WrongUse."""
    stack = state.live(folder)
    if stack is None:
        raise WrongUse(f"no stack is up in {folder}")
    os.environ.update(merged(os.environ, stack.environment))
    return Ground(folder, stack, load())


@asynccontextmanager
async def watched(on: Ground, seen: Callable[[Look], None] = lambda _: None) -> AsyncIterator[Watch]:
    """Its meters, looked at twice a second until the end of the block; memory does not grow with its length."""

    def look(taken: Look) -> None:
        del watch.looks[:-KEPT], watch.readings[:-KEPT]
        seen(taken)

    watch = Watch(on.folder, on.settings, look)
    async with asyncio.TaskGroup() as beside:
        watching = beside.create_task(watch.run())
        try:
            async with asyncio.timeout(FIRST_LOOK_SECONDS):
                await watch.looking.wait()
            yield watch
        finally:
            watching.cancel()


@asynccontextmanager
async def stored(on: Ground) -> AsyncIterator[EventStore]:
    """Its event store."""
    async with open_aws(on.settings) as aws:
        yield await open_store(aws, await load_stack(await aws.dynamodb(), on.settings), on.settings)


async def drained(watch: Watch) -> float:
    """Unix time at which the projectors had passed everything. Raises StackFailed."""
    at = await watch.drained()
    if at is None:
        raise StackFailed("the stack does not get through what it accepted")
    return at


def say(line: str) -> None:
    """For people, on stderr."""
    print(line, file=sys.stderr, flush=True)


def carried_out(name: str, measurement: Coroutine[Any, Any, Found], told: Callable[[Found], str]) -> int:
    """Measure, print one JSON line on stdout and a line for people on stderr. Exit 1 when there are faults, 2 for wrong use."""
    try:
        found = uvloop.run(_until_stopped(measurement))
    except (HeadraceError, OSError, ExceptionGroup) as wrong:
        first = _first(wrong)
        if not isinstance(first, (HeadraceError, OSError)):
            raise
        say(f"{name}: {str(first) or type(first).__name__}")
        return WRONG if isinstance(first, WrongUse) else FAILED
    print(json.dumps(found), flush=True)
    say(told(found))
    for fault in found["faults"]:
        say(fault)
    return FAILED if found["faults"] else DONE


async def _until_stopped(measurement: Coroutine[Any, Any, Found]) -> Found:
    """SIGTERM and Ctrl-C end it in order: what it has changed is put back. Raises StackFailed then."""
    async with stop_on_signals() as stop:
        found = await unless_stopped(stop, measurement)
    if found is None:
        raise StackFailed("interrupted before the end")
    return found


def _first(wrong: Exception) -> Exception:
    """The first leaf: task groups wrap what they met."""
    while isinstance(wrong, ExceptionGroup):
        wrong = wrong.exceptions[0]
    return wrong
