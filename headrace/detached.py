"""`headrace up --detach`: the same supervisor in a session of its own; this process waits until it is ready."""

import asyncio
import os
import sys
from argparse import Namespace
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from typing import Final, TextIO

from headrace.errors import StackFailed
from headrace.local import state
from headrace.local.roles import our_command
from headrace.status import print_status

_SECONDS: Final = 900.0  # a first use installs the emulator


async def run_detached(arguments: Namespace, folder: Path) -> int:
    """Show its lines until it is ready: 0; or until it ended: its exit code."""
    read_end, write_end = os.pipe()
    log = folder / "logs" / "up.log"
    try:
        process = await _start(arguments, folder, log, write_end)
    finally:
        os.close(write_end)
    out = sys.stderr if arguments.json else sys.stdout
    try:
        async with asyncio.timeout(_SECONDS):
            await _relay(read_end, out)
    except TimeoutError as exc:
        process.terminate()
        raise StackFailed(f"not ready in {_SECONDS:g} s; see {log}") from exc
    stack = state.live(folder)
    if stack is None or stack.supervisor != process.pid or stack.phase != "ready":
        code = await process.wait()
        sys.stderr.write(_last_line(log))
        return code or 1
    if arguments.json:
        await print_status(folder)
    return 0


async def _start(arguments: Namespace, folder: Path, log: Path, announce: int) -> Process:
    words = ["--state", str(folder), "--aws", arguments.aws, "--announce", str(announce)]
    words += ["--port", str(arguments.port)] if arguments.port is not None else []
    words += ["--scale", arguments.scale, "--put-off", str(arguments.put_off)]
    words += ["--no-restart"] if arguments.no_restart else []
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return await asyncio.create_subprocess_exec(
            *our_command("up", *words),
            stdin=DEVNULL,
            stdout=out,
            stderr=out,
            pass_fds=(announce,),
            start_new_session=True,
        )


async def _relay(descriptor: int, out: TextIO) -> None:
    """Hand on what is announced until the other side closes: it is ready, or it is gone."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb"))
    try:
        while line := await reader.readline():
            print(line.decode().rstrip(), file=out, flush=True)
    finally:
        transport.close()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"{lines[-1]}\n" if lines else "headrace up: it ended and said nothing\n"
