"""A stack of a measurement's own, for what must not be done to anybody else's: up, the work, down, whatever happens."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, NamedTuple

from headrace.errors import StackFailed
from headrace.local import state
from headrace.local.clean import clean
from headrace.local.ports import gateway_port
from headrace.local.roles import own_roles
from headrace.local.stack import Plan
from headrace.up import decide, supervise
from loadtest.ground import Found, say

DEATHS: Final = 10_000
"""Who kills does not want to be mistaken for a program that cannot start."""


class OwnStack(NamedTuple):
    """What it is to be: processes by role, settings for all of them, the most seconds from a death to the next life."""

    aws: str
    scale: Mapping[str, int]
    settings: Mapping[str, str]
    put_off: float


async def on_own_stack(folder: Path | None, wanted: OwnStack, work: Callable[[Path], Awaitable[Found]]) -> Found:
    """What `work` found on it. Without a folder one in the temporary directory, which is kept when there are faults.

    Raises StackFailed, WrongUse, and what the work raises.
    """
    with environment(wanted.settings):
        return await _on_own_stack(folder, wanted, work)


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """With these variables, and afterwards as it was: whoever works on a stack takes its servers' addresses into the environment
    (`loadtest.ground`), and the next stack would take those for servers that it is given."""
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def _on_own_stack(folder: Path | None, wanted: OwnStack, work: Callable[[Path], Awaitable[Found]]) -> Found:
    here = folder or Path(mkdtemp(prefix="headrace-"))
    found: list[Found] = []
    stop = asyncio.Event()

    async def ready() -> None:
        try:
            found.append(await work(here))
        finally:
            stop.set()

    try:
        with state.owned(here):
            plan = Plan(
                here,
                await decide(wanted.aws, here),
                gateway_port(0),
                put_off=wanted.put_off,
                most_deaths=DEATHS,
                roles=own_roles(scale=wanted.scale),
            )
            await supervise(plan, _say, stop, ready)
    finally:
        if folder is None and found and not found[0]["faults"]:
            await asyncio.to_thread(_removed, here)
        else:
            say(f"logs are in {here / 'logs'}")
    if not found:
        raise StackFailed("interrupted before the end")
    return found[0]


def _removed(folder: Path) -> None:
    clean(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _say(line: str) -> None:
    """Deaths and returns are the supervisor's to tell: in its way, not in ours."""
    if " is back " not in line and "; restart " not in line:
        say(f"  {line}")
