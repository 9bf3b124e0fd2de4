"""Making a stack's queues, tables and schema, by a process of its own: `headrace provision`."""

import asyncio
import signal
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from headrace.errors import StackFailed
from headrace.local.process import leashed, stop

_SECONDS: Final = 180.0


async def provision(command: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
    """Run it to its end. Raises StackFailed with the last line it said."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *leashed(command, signal.SIGKILL, None),
            env=dict(environment),
            stdin=DEVNULL,
            stdout=out,
            stderr=STDOUT,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(_SECONDS):
            code = await process.wait()
    except TimeoutError as exc:
        raise StackFailed(f"provisioning took over {_SECONDS:g} s; see {log}") from exc
    finally:
        await stop(process, signal.SIGKILL, 5.0)
    if code != 0:
        raise StackFailed(f"provisioning ended with {code}; see {log}: {_last_line(log)}")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
