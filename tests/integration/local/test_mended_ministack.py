"""MiniStack itself, by its own interpreter: the mend takes, and agrees with the functions whose place it takes."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from headrace.local import ministack

SIDE_BY_SIDE = """
import copy, importlib, runpy, sys, time
from importlib.metadata import version
start = runpy.run_path(sys.argv[1])
now = time.time()
holder = {"dedup_cache": {f"id-{number}": {"expire": now + number - 50} for number in range(100)}}
originals = [getattr(importlib.import_module(name), function) for name, function in start["MENDED"]]
kept = [copy.deepcopy(holder) for _ in originals]
for original, queue in zip(originals, kept):
    original(queue)
assert start["mend"](version("ministack")), "not mended"
for (name, function), expected in zip(start["MENDED"], kept):
    queue = copy.deepcopy(holder)
    getattr(importlib.import_module(name), function)(queue)
    assert queue == expected and 0 < len(queue["dedup_cache"]) < 100, name
    assert getattr(importlib.import_module(name), function) not in originals, name
"""


async def test_the_emulator_that_we_start_is_mended_and_remembers_what_it_would(tmp_path: Path) -> None:
    program = await ministack.prepare(tmp_path, tmp_path / "aws.log", print)
    python, isolated, start = program.argv
    process = await asyncio.create_subprocess_exec(
        python, isolated, "-c", SIDE_BY_SIDE, start, env=dict(program.environment), stdout=sys.stderr, stderr=PIPE
    )
    async with asyncio.timeout(60):
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
