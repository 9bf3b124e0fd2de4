"""A write side alone: what counts as visible is the append, as the worker noted it, one line a commit."""

import asyncio
import time
from pathlib import Path
from typing import Final

from headrace.errors import StackFailed
from loadtest.bench.job import Job
from loadtest.bench.visible import STALLED_SECONDS

_LOOK_SECONDS: Final = 0.1


class Acknowledged:
    """The workers' file: comment id, when it was submitted, when the store had it; seconds since 1970."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def until_all(self, job: Job) -> tuple[dict[str, float], dict[str, float]]:
        """(appended, submitted) by comment id once all are there. Raises StackFailed."""
        moved, seen = time.monotonic(), -1
        while True:
            appended, submitted = self._read(job.prefix)
            if len(appended) == job.count:
                return appended, submitted
            if len(appended) > seen:
                seen, moved = len(appended), time.monotonic()
            elif time.monotonic() - moved > STALLED_SECONDS:
                raise StackFailed(f"{seen} of {job.count} commands are appended, and no more for {STALLED_SECONDS:g} s")
            await asyncio.sleep(_LOOK_SECONDS)

    def _read(self, prefix: str) -> tuple[dict[str, float], dict[str, float]]:
        appended, submitted = {}, {}
        for line in self._path.read_text().splitlines(keepends=True) if self._path.exists() else ():
            if line.startswith(f"{prefix}-") and line.endswith("\n"):
                name, asked, done = line.split()
                appended[name], submitted[name] = float(done), float(asked)
        return appended, submitted
