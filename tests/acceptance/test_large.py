"""The large run at a small size, as from a shell."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.stack import Live


async def large(*words: str) -> tuple[int, dict[str, Any], str]:
    """(exit code, the JSON line, what people are told)."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "loadtest.large", *words, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(180):
        out, err = await process.communicate()
    return process.returncode or 0, json.loads(out) if out.strip() else {}, err.decode()


@pytest.mark.slow
@pytest.mark.long
async def test_many_comments_are_all_there_and_audited_in_told_memory(live: Live) -> None:
    code, found, told = await large("--state", str(live.folder), "--comments", "600")
    assert (code, found["faults"]) == (0, []), told
    assert found["commands"] > 700
    assert found["audit"]["ok"]
    assert found["audit"]["streams"] >= 600
    assert found["audit"]["events"] >= found["commands"]
    assert 20 < found["audit_rss_mb"] < 1000
    assert "audit clean" in told


async def test_without_a_stack_it_is_wrong_use(tmp_path: Path) -> None:
    code, found, told = await large("--state", str(tmp_path))
    assert (code, found, len(told.splitlines())) == (2, {}, 1)
