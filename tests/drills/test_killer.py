"""A command that kills every worker that decides it: it is set aside alone, its neighbours are applied, and redriven it may yet act."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from events.ids import StreamId, partition_of
from runtime.stack import PARTITIONS
from tests.acceptance.stack import Live, headrace, stack_up
from tests.support.bomb import FUSE

SECONDS = 120


@pytest.fixture(scope="module")
async def armed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Live, Path]]:
    fuse = tmp_path_factory.mktemp("fuse") / "lit"
    fuse.touch()
    more = {"HEADRACE_VISIBILITY_SECONDS": "2", "HEADRACE_DOMAIN": "tests.support.bomb:DOMAIN", FUSE: str(fuse)}
    async with stack_up(tmp_path_factory.mktemp("killer"), more) as found:
        yield found, fuse


def neighbours(partition: int, count: int) -> list[str]:
    """Ids of comments in that partition."""
    found = (f"beside-{number}" for number in range(100_000))
    chosen = (ident for ident in found if partition_of(StreamId(f"comment-{ident}"), PARTITIONS) == partition)
    return [next(chosen) for _ in range(count)]


async def test_a_killer_command_is_set_aside_alone(armed: tuple[Live, Path]) -> None:
    live, fuse = armed
    beside = neighbours(partition_of(StreamId("bomb-x"), PARTITIONS), 50)
    creations = [
        {"name": "comment.create", "id": f"k-{each}", "data": {"picture_id": "p", "text": "t", "comment_id": each}} for each in beside
    ]
    lines = [*creations[:25], {"name": "bomb.light", "id": "killer", "data": {"bomb_id": "x", "how": "exit"}}, *creations[25:]]
    async with asyncio.timeout(SECONDS), live.client() as client:
        answer = await client.post(
            "/commands/batch",
            content="\n".join(map(json.dumps, lines)),
            headers={"Content-Type": "application/x-ndjson", "Headrace-Actor": "ann"},
        )
        assert [json.loads(line)["status"] for line in answer.text.splitlines()] == ["pending"] * 51
        killer = json.loads(answer.text.splitlines()[25])
        status = {"status": "pending"}
        while status["status"] == "pending":
            status = (await client.get(f"{killer['status_url']}&wait=30")).json()
        assert (status["status"], "twice" in status["detail"]) == ("failed", True)
        for each in beside:
            found = (await client.get(f"/commands/k-{each}", params={"stream": f"comment-{each}", "actor": "ann", "wait": 30})).json()
            assert found["status"] == "applied", each
    code, out, _ = await headrace("dlq", "list", "--json", "--state", str(live.folder))
    (letter,) = json.loads(out)["commands"]["messages"]
    assert (code, [each["id"] for each in letter["commands"]]) == (0, ["killer"])
    assert "twice" in letter["reason"]
    fuse.unlink()
    code, out, err = await headrace("dlq", "redrive", "killer", "--state", str(live.folder))
    assert (code, out) == (0, "redriven: 1 of commands, 0 of rds, 0 of cache\n"), err
    async with asyncio.timeout(SECONDS), live.client() as client:
        while status["status"] != "applied":
            status = (await client.get("/commands/killer", params={"stream": "bomb-x", "actor": "ann", "wait": 5})).json()
    code, out, _ = await headrace("dlq", "redrive", "killer", "--state", str(live.folder))
    assert code == 1  # nobody there any more
    code, out, err = await headrace("audit", "--state", str(live.folder))
    assert code == 0, out + err
