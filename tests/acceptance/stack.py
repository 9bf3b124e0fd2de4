"""A whole stack for acceptance tests: brought up as a person would, and found by its state folder."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from headrace.local import state
from headrace.local.clean import clean

AWS = os.environ.get("AWS", "ministack")
UP_SECONDS = 240.0  # a first use installs the emulator


@dataclass(frozen=True, slots=True)
class Live:
    """A stack that is up."""

    folder: Path
    gateway: str

    def pid(self, role: str) -> int:
        """The process of that role, as written down now."""
        found = self.pid_or_none(role)
        assert found is not None
        return found

    def pid_or_none(self, role: str) -> int | None:
        """None while it is down."""
        stack = state.live(self.folder)
        assert stack is not None
        return next((part.pid for part in stack.parts if part.role == role), None)

    def parts(self, *roles: str) -> list[state.Part]:
        """Their processes, as written down now."""
        stack = state.live(self.folder)
        assert stack is not None
        return [part for part in stack.parts if part.role in roles]

    def client(self) -> httpx.AsyncClient:
        """Talks to the gateway; many requests may be under way."""
        limits = httpx.Limits(max_connections=128)
        return httpx.AsyncClient(base_url=self.gateway, timeout=40, limits=limits, trust_env=False)


async def headrace(*words: str, seconds: float = UP_SECONDS, more: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run a command to its end: (exit code, stdout, stderr)."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace", *words, stdout=PIPE, stderr=PIPE, env={**os.environ, **(more or {})}
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, out.decode(), err.decode()


@asynccontextmanager
async def stack_up(folder: Path, more: Mapping[str, str] | None = None, aws: str = AWS, words: Sequence[str] = ()) -> AsyncIterator[Live]:
    """Up on a free port, down afterwards, nothing left. `words`: more for `headrace up`."""
    where = ("--state", str(folder))
    code, out, err = await headrace("up", "--detach", "--json", "--port", "0", "--aws", aws, *words, *where, more=more)
    assert code == 0, err
    shown: dict[str, Any] = json.loads(out)
    try:
        yield Live(folder, shown["gateway"])
    finally:
        code, out, err = await headrace("down", *where)
        clean(folder)
    assert code == 0, out + err
