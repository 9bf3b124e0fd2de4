"""Kill -9 of each role in the middle of the demo's load: it comes back, and every read equals the fold all the same."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE

import pytest

from tests.acceptance.stack import Live

POSTED = b"posting "


@pytest.mark.parametrize("role", ["gateway", "commands", "relay", "projector-rds", "projector-cache"])
async def test_nothing_is_lost_when_a_role_is_killed_in_the_middle(stack: Live, role: str) -> None:
    victim = stack.pid(role)
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace", "demo", "--state", str(stack.folder), "--seed", str(sum(role.encode())),
        stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    assert demo.stdout is not None
    assert demo.stderr is not None
    said = []
    async with asyncio.timeout(150):
        while line := await demo.stderr.readline():
            said.append(line.decode())
            if line.startswith(POSTED) and victim and len(said) >= 3:
                os.kill(victim, signal.SIGKILL)
                victim = 0
        out = await demo.stdout.read()
        code = await demo.wait()
    assert victim == 0, "the load was over before anything was killed"
    assert code == 0, "".join(said)
    report = json.loads(out.decode().splitlines()[-1])
    assert report["accepted"] == report["applied"] == report["projected"] == 1000
