"""One stream that everybody writes to."""

import json
import sys
from asyncio import create_subprocess_exec, timeout
from asyncio.subprocess import PIPE

import pytest

from loadtest.hot import Sizes, judged
from tests.acceptance.stack import Live

SIZES = Sizes(updates=4, callers=2, rate=1.0, seconds=1.0, rounds=0)


async def test_ten_thousand_updates_of_64_callers_are_all_there_in_order_in_few_commits(live: Live) -> None:
    words = ("-m", "loadtest.hot", "--state", str(live.folder), "--rounds", "0")
    process = await create_subprocess_exec(sys.executable, *words, stdout=PIPE, stderr=PIPE)
    async with timeout(240):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    found = json.loads(out)
    assert found["faults"] == []
    assert found["commits"] < found["updates"] / 10


@pytest.mark.parametrize(
    ("texts", "faults"),
    [
        (["0:0", "1:0", "0:1", "1:1"], 0),
        (["0:0", "1:0", "1:1"], 1),  # one is lost
        (["0:0", "1:0", "0:0", "0:1", "1:1"], 2),  # one is there twice
        (["0:1", "1:0", "0:0", "1:1"], 1),  # out of order
    ],
)
def test_what_is_wrong_is_seen(texts: list[str], faults: int) -> None:
    assert len(judged(texts, SIZES)) == faults
