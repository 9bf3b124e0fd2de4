"""The commands that print the write side's figures, at a small size, as from a shell."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from loadtest.watch import LOOK_SECONDS
from tests.acceptance.stack import Live

pytestmark = pytest.mark.slow

ROLES = {"gateway", "commands", "relay", "projector-rds", "projector-cache"}


async def figures(module: str, *words: str) -> tuple[int, dict[str, Any], str]:
    """(exit code, the JSON line, what people are told)."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *words, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(180):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = out.splitlines()
    assert len(lines) <= 1
    return process.returncode or 0, json.loads(lines[0]) if lines else {}, err.decode()


async def test_the_mix_over_cold_streams_beside_creations(live: Live) -> None:
    code, found, told = await figures(
        "loadtest.cold", "--state", str(live.folder), "--streams", "300", "--commands", "500", "--rounds", "1"
    )
    assert (code, found["faults"]) == (0, []), told
    assert found["applied"] == 300 + 3 * 500
    assert found["mix"]["state_cache_hits"] == found["creates"]["state_cache_hits"] == 0
    for part in (found["mix"], found["creates"]):
        assert min(part["requests_per_1000_commands"], part["cpu_ms_per_command"], part["per_s"], *found["times"].values()) > 0
        assert sum(part["by_call"].values()) == pytest.approx(part["requests_per_1000_commands"], abs=2)
    assert found["mix"]["by_call"]["dynamodb.BatchGetItem"] > 0
    assert "mix over cold streams" in told


async def test_the_mix_by_single_posts(live: Live) -> None:
    sizes = ("--streams", "100", "--commands", "200", "--rounds", "1", "--single", "64")
    code, found, told = await figures("loadtest.cold", "--state", str(live.folder), *sizes)
    assert (code, found["faults"], found["applied"]) == (0, [], 100 + 3 * 200), told


async def test_a_frozen_backend_loses_nothing_and_the_roles_do_not_grow(live: Live) -> None:
    sizes = ("--duration", "8", "--freeze", "3", "--backlog", "2000")
    code, found, told = await figures("loadtest.frozen", "--state", str(live.folder), *sizes)
    assert (code, found["faults"]) == (0, []), told
    assert found["accepted"] > 500
    assert found["standstill_s"] >= 3 - 2 * LOOK_SECONDS - 0.1  # a look at either end is late by up to an interval; told in tenths
    assert found["rss_mb"].keys() == ROLES
    for each in found["rss_mb"].values():
        assert 10 < each["mark"] <= each["peak"]
        assert each["times"] == round(each["end"] / each["mark"], 3)
    assert len(found["rss_mb_over_time"]) > 5
    assert "nothing accepted is lost" in told


async def test_what_the_client_costs() -> None:
    code, found, told = await figures("tests.support.client_rate", "--posts", "300", "--rounds", "1")
    assert code == 0, told
    assert min(found.values()) > 0
    assert found["batch_us"] < found["post_us"]


async def test_without_a_stack_it_is_wrong_use(tmp_path: Path) -> None:
    for module in ("loadtest.cold", "loadtest.frozen"):
        code, found, told = await figures(module, "--state", str(tmp_path))
        assert (code, found, len(told.splitlines())) == (2, {}, 1)
        assert "no stack" in told


async def test_a_quiet_stack_and_the_first_command_after_that(live: Live) -> None:
    """So soon after a start polls are short: the bound on requests is for a stack that was quiet for longer."""
    _, found, told = await figures("loadtest.idle", "--state", str(live.folder), "--seconds", "4", "--rest", "1", "--repeats", "2")
    assert found["by_role"].keys() == ROLES
    assert found["requests_per_s"] > 0  # which calls they are is luck: a long poll can outlast the four seconds
    assert sum(found["by_call"].values()) == pytest.approx(found["requests_per_s"], abs=0.01)
    assert 0 < found["visible_ms"]["p50"] <= found["visible_ms"]["max"] < 10_000
    assert all("requests a second" in fault or "visible after" in fault for fault in found["faults"])
    assert "first command visible after" in told
