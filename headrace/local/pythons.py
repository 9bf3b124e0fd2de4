"""Finding a Python that is new enough, by running each candidate: a name on PATH may be a shim with nothing behind."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from headrace.errors import StackFailed
from headrace.local.backend_home import run

_SECONDS: Final = 20.0
_ASK: Final = "import sys, venv, ensurepip; print(*sys.version_info[:2], sys.executable)"


async def find_python(least: tuple[int, int]) -> Path | None:
    """A Python of at least that version which can make virtual environments; one of exactly that version first."""
    for candidate in _candidates(least):
        if (found := await _ask(candidate, least)) is not None:
            return found
    return await _from_uv(least)


async def _ask(candidate: Path, least: tuple[int, int]) -> Path | None:
    try:
        async with asyncio.timeout(_SECONDS):
            major, minor, executable = (await run([str(candidate), "-I", "-c", _ASK])).split(maxsplit=2)
    except (StackFailed, TimeoutError, ValueError):
        return None
    return Path(executable.strip()) if (int(major), int(minor)) >= least else None


def _candidates(least: tuple[int, int]) -> Iterator[Path]:
    """By name on PATH; then beside a version manager's shim, whose `versions` folder holds what the shim would run."""
    major, minor = least
    seen: set[Path] = set()
    for name in (f"python{major}.{minor}", "python3", "python"):
        if (found := shutil.which(name)) is not None:
            yield Path(found)
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        for root in (Path(folder).parent / "versions", Path(folder).parent.parent.parent / "versions"):
            if root not in seen and root.is_dir():
                seen.add(root)
                yield from sorted(root.glob(f"{major}.{minor}*/bin/python{major}.{minor}"))


async def _from_uv(least: tuple[int, int]) -> Path | None:
    if shutil.which("uv") is None:
        return None
    try:
        async with asyncio.timeout(_SECONDS):
            found = await run(["uv", "python", "find", "--no-project", "--no-python-downloads", f"{least[0]}.{least[1]}"])
    except (StackFailed, TimeoutError):
        return None
    return await _ask(Path(found.strip().splitlines()[-1]), least)
