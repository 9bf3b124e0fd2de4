"""`headrace bench` as from a shell: every peer runs, the ceilings are measured, and the JSON has it all."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from loadtest.bench.subjects import NAMES

pytestmark = pytest.mark.slow

AWS = os.environ.get("AWS", "ministack")
SECONDS = 200 if AWS == "ministack" else 600


async def test_one_round_of_everything(tmp_path: Path) -> None:
    sizes = ("--rounds", "1", "--commands", "200", "--saturated", "0.5", "--paced", "1")
    words = ("bench", *sizes, "--aws", AWS, "--state", str(tmp_path / "state"), "--json", "-")
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "headrace", *words, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(SECONDS):
            said, table = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, table.decode()
    report = json.loads(said)
    assert report["backend"].startswith(AWS)
    assert [each["name"] for each in report["subjects"]] == list(NAMES)
    for each in report["subjects"]:
        assert each["fault"] is None
        assert len(each["turns"]) == 1
        figures = each["figures"]
        assert all(figures[name]["median"] > 0 for name in ("per_s", "cpu_ms", "burst_p50_ms", "paced_p50_ms", "paced_p99_ms"))
        assert figures["paced_p50_ms"]["median"] <= figures["paced_p99_ms"]["median"]
        assert f"\n{each['name']} " in table.decode()
    by_name = {each["name"]: each["figures"] for each in report["subjects"]}
    assert by_name["headrace"]["requests"]["median"] < 1000
    assert by_name["headrace write batch"]["requests"]["median"] < by_name["headrace"]["requests"]["median"]
    assert by_name["per-call"]["requests"]["median"] > 6000
    assert "requests with PartiQL" in table.decode()
    assert by_name["pyeventsourcing"]["requests"]["median"] == 0
    assert {"decode", "append", "stream", "send", "receive", "publish", "pipeline", "script", "insert"} == set(report["ceilings"])
    assert all(each["per_s"] > 0 and each["cpu_us"] > 0 for each in report["ceilings"].values())
    assert len(report["near"]) == 5
    for each in report["near"]:  # of bursts this short no figure is worth a bound; unit tests hold the reckoning
        assert each["ceiling_us"] == pytest.approx(sum(report["ceilings"][name]["cpu_us"] for name in each["ceilings"]))
        assert each["percent"] == pytest.approx(100 * each["ceiling_us"] / each["cpu_us"])
