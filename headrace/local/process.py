"""One life of a program: started on a leash, watched until ready, ended within a deadline."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from typing import Final, NoReturn

from headrace.errors import StackFailed
from headrace.local.probes import answers
from headrace.local.program import Account, Program

LEASH: Final = Path(__file__).with_name("leash.py")
_POLL_SECONDS: Final = 0.05


def leashed(argv: tuple[str, ...], dying_signal: signal.Signals, account: Account | None) -> list[str]:
    """The command line that runs `argv` tied to this process and as that account."""
    user = f"{account.uid}:{account.gid}" if account else "-"
    return [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), str(int(dying_signal)), user, *argv]


async def spawn(program: Program) -> Process:
    """Start it in a session of its own, so that a Ctrl-C at the terminal reaches the supervisor only."""
    with program.log.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *leashed(program.argv, program.dying_signal, program.account),
            cwd=program.folder,
            env=dict(program.environment),
            stdin=DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


async def until_ready(program: Program) -> None:
    """Wait until its probe answers; the caller sets the deadline and watches for its death."""
    while not await answers(program.probe):  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)  # a server tells nobody when it starts to listen


async def start(program: Program) -> Process:
    """Start it and wait until it is ready. Raises StackFailed when it dies or takes too long instead."""
    process = await spawn(program)
    death = asyncio.create_task(process.wait())
    ready = asyncio.create_task(until_ready(program))
    try:
        await asyncio.wait({death, ready}, timeout=program.start_seconds, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done() or death.done():
            _fail(program, process.returncode if death.done() else None)
        ready.result()
    except BaseException:
        await stop(process, signal.SIGKILL, 10.0)
        raise
    finally:
        death.cancel()
        ready.cancel()
        await asyncio.wait({death, ready})
    return process


def _fail(program: Program, code: int | None) -> NoReturn:
    how = f"was not ready in {program.start_seconds:g} s" if code is None else f"ended with {code}"
    raise StackFailed(f"{program.name} {how}; see {program.log}")


async def stop(process: Process, first: signal.Signals, seconds: float) -> None:
    """Ask it to end, wait at most `seconds`, then kill it; what it started itself goes with it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):  # it ended in this moment
            process.send_signal(first)
        try:
            async with asyncio.timeout(seconds):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    sweep(process)


def sweep(process: Process) -> None:
    """Kill what is left of an ended program's session: PostgreSQL's workers, LocalStack's java."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
