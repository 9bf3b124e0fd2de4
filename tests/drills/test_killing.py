"""The kill drill, short, as from a shell: two of each, struck in all three ways; and what it answers to wrong use."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.stack import AWS

SECONDS = 500.0


async def killing(*words: str) -> tuple[int, dict[str, Any], str]:
    """(exit code, the JSON line, what people are told)."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "loadtest.killing", *words, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return process.returncode or 0, json.loads(out) if out.strip() else {}, err.decode()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("signals", "every"), [("kill", "2"), ("kill,term,stop", "3")])
async def test_what_is_struck_again_and_again_loses_and_doubles_nothing(tmp_path: Path, signals: str, every: str) -> None:
    sizes = ("--seconds", "60", "--every", every, "--signals", signals, "--rate", "120")
    code, found, told = await killing("--aws", AWS, "--state", str(tmp_path), *sizes)
    assert (code, found["faults"]) == (0, []), told
    assert found["signals"].keys() == set(signals.split(","))
    assert found["accepted"] == found["applied"] == found["projected"] > 3000
    assert found["strikes"].keys() == found["with_work"].keys() == {"relay", "projector-rds", "projector-cache"}
    assert found["leases"]["changes_of_hands"] > 0
    assert found["audit"]["ok"]
    assert not any(found["dead"].values())


@pytest.mark.parametrize("words", [("--every", "0.5"), ("--signals", "hup"), ("--signals", ""), ("--rate", "0")])
async def test_wrong_use_is_one_line(words: tuple[str, str]) -> None:
    code, found, told = await killing(*words)
    assert (code, found, len(told.splitlines())) == (2, {}, 1), told
