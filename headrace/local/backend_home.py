"""An emulator's own virtual environment: made on first use, whole or not at all, by one process at a time.

Beside the application's environment, so that stacks share it; in the state folder where that cannot be written.
"""

import asyncio
import fcntl
import hashlib
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace.errors import StackFailed
from headrace.local.process import leashed, stop

INSTALL_SECONDS: Final = 600.0
_MARKER: Final = "complete"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is installed: pinned versions with hashes, by which Python, and what comes after pip."""

    name: str
    python: Path
    lock: Path
    finish: Callable[[Path], Awaitable[None]] | None = None

    def fingerprint(self) -> str:
        """Changes when what would be installed changes."""
        return hashlib.sha256(self.lock.read_bytes() + os.fsencode(self.python)).hexdigest()


def home(name: str, state: Path) -> Path:
    """The folder of the environment of that name."""
    beside = Path(sys.prefix) / "backends"
    usable = os.access(beside, os.W_OK) if beside.exists() else os.access(sys.prefix, os.W_OK)
    usable = usable and sys.prefix != sys.base_prefix  # never into the system's own Python
    return (beside if usable else state.resolve() / "backends") / name


def is_installed(folder: Path) -> bool:
    """Whether an install was finished there."""
    return (folder / _MARKER).exists()


async def installed(recipe: Recipe, state: Path, say: Say) -> Path:
    """The folder of the environment, installed if it is not there or was left half done."""
    folder = home(recipe.name, state)
    folder.parent.mkdir(parents=True, exist_ok=True)
    async with asyncio.timeout(INSTALL_SECONDS), _alone(folder.with_name(f"{recipe.name}.lock")):
        marker = folder / _MARKER
        if marker.exists() and marker.read_text() == recipe.fingerprint():
            return folder
        say(f"installing {recipe.name} into {folder} (once)")
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        await _install(recipe, folder)
        marker.write_text(recipe.fingerprint())
    return folder


def python_of(folder: Path) -> Path:
    """The Python of that environment."""
    return folder / "bin" / "python"


async def _install(recipe: Recipe, folder: Path) -> None:
    if not await _by_uv(recipe, folder):
        shutil.rmtree(folder, ignore_errors=True)
        await run([str(recipe.python), "-m", "venv", str(folder)])
        pip = [str(python_of(folder)), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        await run([*pip, "--no-deps", "--require-hashes", "-r", str(recipe.lock)])
    if recipe.finish is not None:
        await recipe.finish(folder)


async def _by_uv(recipe: Recipe, folder: Path) -> bool:
    """Fast, where uv is there and can do it; it may lack what pip is set up with (a proxy, a mirror)."""
    uv = shutil.which("uv")
    if uv is None or not await _works([uv, "--version"]):
        return False
    install = [uv, "pip", "install", "--python", str(python_of(folder)), "--require-hashes", "-r", str(recipe.lock)]
    return await _works([uv, "venv", "--no-project", "--no-config", "--python", str(recipe.python), str(folder)]) and await _works(install)


async def _works(command: list[str]) -> bool:
    """`uv` on PATH may be a version manager's shim with nothing behind it."""
    try:
        await run(command)
    except StackFailed:
        return False
    return True


async def run(command: list[str], folder: Path | None = None) -> str:
    """Run a tool to its end; its output, or StackFailed with the last of it. It ends with us."""
    try:
        process = await asyncio.create_subprocess_exec(
            *leashed(tuple(command), signal.SIGKILL, None),
            cwd=folder,
            env={**os.environ, "UV_SYSTEM_CERTS": "true"},  # trust whom pip and npm trust
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,
        )
    except OSError as exc:
        raise StackFailed(f"{command[0]}: {exc.strerror}") from exc
    try:
        output, _ = await process.communicate()
    finally:
        await stop(process, signal.SIGKILL, 1.0)
    text = output.decode(errors="replace")
    if process.returncode != 0:
        raise StackFailed(f"{' '.join(command[:4])} … ended with {process.returncode}:\n{text[-2000:].rstrip()}")
    return text


@asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[None]:
    """Hold a file's lock; it goes with the process, so nobody waits for a dead one."""
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.2)  # a thread that blocks here could not be cancelled
        yield
