"""What a peak took is given back."""

import asyncio
import sys
from pathlib import Path

import pytest

from runtime import memory


def resident() -> int:
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from /proc")
async def test_freed_memory_goes_back_and_stop_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "TRIM_SECONDS", 0.01)
    pieces = [bytearray(40_000) for _ in range(2000)]  # below the C library's threshold for pages of their own
    last = bytearray(40_000)  # keeps the heap's end where it is
    peak = resident()
    pieces.clear()
    kept, stop = resident(), asyncio.Event()
    trimming = asyncio.create_task(memory.trimming(stop))
    async with asyncio.timeout(10):
        while resident() > peak - 60_000_000:  # noqa: ASYNC110 - nobody tells when pages went back
            await asyncio.sleep(0.01)
    stop.set()
    await trimming
    assert kept > peak - 60_000_000, "the C library gave it back by itself: this test shows nothing"
    assert len(last) == 40_000
