"""What the figures' commands conclude from what they saw, and a backend that stands still."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from itertools import pairwise

import msgspec
import pytest
from msgspec import Raw

from events.envelope import Commit, Recorded
from events.ids import CommandId, Fingerprint, StreamId, Version
from events.memory_store import MemoryStore
from loadtest.flood import creation, not_there, stream_of
from loadtest.frozen import standing_still
from loadtest.resident import Seen, memory, standstill
from runtime.times import Micros

TICKS = "import sys, time\nwhile True:\n    print(time.monotonic(), flush=True)\n    time.sleep(0.02)\n"


def test_memory_is_compared_between_the_mark_and_the_end() -> None:
    seen = [Seen(second / 2, {"relay": 100.0 if second < 100 else 120.0}) for second in range(201)]
    assert memory(seen, 100.0) == {"relay": {"mark": 100.0, "end": 120.0, "peak": 120.0, "times": 1.2}}


def test_one_odd_look_is_not_what_a_role_holds() -> None:
    seen = [Seen(second / 2, {"relay": 500.0 if second in {61, 200} else 100.0}) for second in range(201)]
    assert memory(seen, 100.0) == {"relay": {"mark": 100.0, "end": 100.0, "peak": 500.0, "times": 1.0}}


def test_a_short_run_takes_the_nearest_looks() -> None:
    seen = [Seen(0.5, {"relay": 1.0}), Seen(2.5, {"relay": 2.0}), Seen(5.0, {"relay": 3.0})]
    assert memory(seen, 6.0)["relay"] == {"mark": 2.0, "end": 3.0, "peak": 3.0, "times": 1.5}


def test_the_longest_time_without_a_commit() -> None:
    seen = [Seen(at, {}, appended=appended) for at, appended in ((0, 1), (1, 2), (2, 2), (3.5, 2), (4, 5), (5, 5))]
    assert standstill(seen) == 3


async def test_a_creation_that_is_not_in_the_store_or_is_another_command_is_told() -> None:
    store = MemoryStore()
    await store.append([_commit("a", creation("a").id), _commit("b", "somebody-else")])
    wanted = [(stream_of(name), Version(1), creation(name).id) for name in ("a", "b", "c")]
    there, faults = await not_there(store, wanted)
    assert there == 1
    assert [fault.split()[1] for fault in faults] == ["comment-b:", "comment-c:"]


def _commit(comment: str, command: str) -> Commit:
    event = Recorded("comment.created.v1", Raw(b"{}"), Micros(1), "ann", CommandId(command), Fingerprint("f"))
    return Commit(StreamId(f"comment-{comment}"), Version(1), Version(1), Version(0), Raw(msgspec.json.encode([event])))


async def fail_while_it_stands_still(pid: int) -> None:
    with standing_still(pid):
        await asyncio.sleep(0.5)  # the fault itself
        raise RuntimeError


async def test_a_process_and_its_child_stand_still_and_go_on_though_the_block_fails() -> None:
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {TICKS!r}])"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", parent, stdout=PIPE, start_new_session=True)
    assert process.stdout is not None
    said: list[float] = []
    try:
        async with asyncio.timeout(20):
            said += [float(await process.stdout.readline()) for _ in range(3)]
            with pytest.raises(RuntimeError):
                await fail_while_it_stands_still(process.pid)
            said += [float(await process.stdout.readline()) for _ in range(30)]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    assert max(later - earlier for earlier, later in pairwise(said)) > 0.4
