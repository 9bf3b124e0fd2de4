"""`headrace down`: end the stack of the state folder, as Ctrl-C would."""

import asyncio
import contextlib
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from headrace.errors import StackFailed
from headrace.local import state
from headrace.local.stack import DRAIN_SECONDS

_SECONDS: Final = DRAIN_SECONDS + 35.0
_NO_STACK: Final = 2


def arguments(_: ArgumentParser) -> None:
    """None of its own."""


def main(arguments: Namespace) -> int:
    """Exit 0 when it is gone, 2 when there was none."""
    folder = state.folder_of(arguments.state)
    found = state.live(folder)
    if found is None:
        print(f"headrace down: no stack is up in {folder}", file=sys.stderr)
        return _NO_STACK
    asyncio.run(_end(folder, found.supervisor))
    print(f"the stack in {folder} is down")
    return 0


async def _end(folder: Path, supervisor: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself in this moment
        os.kill(supervisor, signal.SIGTERM)
    try:
        async with asyncio.timeout(_SECONDS):
            while state.is_live(folder):  # noqa: ASYNC110 - the end of a process that is not our child
                await asyncio.sleep(0.05)
    except TimeoutError as exc:
        raise StackFailed(f"the stack in {folder} did not end in {_SECONDS:g} s (supervisor {supervisor})") from exc
