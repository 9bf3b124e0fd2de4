"""Reads held to tokens while Redis is flushed every second and the projectors are ended one after the other, in small."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE

import pytest

from tests.acceptance.stack import Live


@pytest.mark.slow
@pytest.mark.long
async def test_no_answer_is_older_than_its_token_and_no_read_without_one_fails(stack: Live) -> None:
    words = ("-m", "loadtest.tokens", "--state", str(stack.folder), "--reads", "3000")
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(300):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    found = json.loads(out)
    counts = found["counts"]
    assert (found["violations"], found["faults"]) == (0, [])
    assert counts["comment judged"] + counts["picture judged"] + counts["list judged"] > 500
    assert counts["flushes"] > 5
    assert any(name.startswith("SIG") for name in counts)
