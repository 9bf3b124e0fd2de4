"""The full walk on real servers: commits that were never published reach every projector, and a second walk finds nothing."""

import asyncio
import json
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex

import pytest

from events.ids import Partition, StreamId, Version
from events.parcel import Stub, pack_commits
from headrace import reconcile
from headrace.errors import WrongUse
from readmodel.domains import registry
from readmodel.reconciling import open_standings
from runtime.settings import Settings
from tests.integration.write_side.conftest import LIMIT, WriteSide
from tests.integration.write_side.test_relay import append
from workers import projector_cache, projector_rds
from workers.process import Ready


@asynccontextmanager
async def projectors(settings: Settings) -> AsyncIterator[None]:
    """Both, until the block ends."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for role in (projector_rds, projector_cache):
            tasks.create_task(role._serve(settings, stop, Ready(settings)))
        try:
            yield
        finally:
            stop.set()


async def walked(settings: Settings, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object]]:
    parser = ArgumentParser()
    reconcile.arguments(parser)
    code = await reconcile._reconcile(settings, parser.parse_args(["--json", *words]))
    found: dict[str, object] = json.loads([line for line in capsys.readouterr().out.splitlines() if line.startswith("{")][-1])
    return code, found


async def test_what_was_never_published_arrives(write_side: WriteSide, capsys: pytest.CaptureFixture[str]) -> None:
    idents = [token_hex(8) for _ in range(12)]
    for ident in idents:
        await append(write_side, ident)
    async with asyncio.timeout(2 * LIMIT), projectors(write_side.settings):
        code, found = await walked(write_side.settings, capsys)
        again, nothing = await walked(write_side.settings, capsys)
    assert (code, found["ok"], found["behind"], found["unhealed"]) == (0, True, {}, [])
    assert isinstance(found["streams"], int)
    assert found["streams"] >= len(idents)
    assert isinstance(found["republished"], int)
    assert found["healed"] == found["republished"] >= len(idents)
    assert (again, nothing["missing"], nothing["republished"], nothing["streams"]) == (0, {}, 0, found["streams"])
    async with open_standings(write_side.settings, registry(write_side.settings), amqp=False) as standings:
        reached = await standings.of([StreamId(f"comment-{ident}") for ident in idents])
    assert [(each["rds"], each["cache"]) for each in reached.values()] == [(2, 2)] * len(idents)


async def test_a_projector_that_stands_still_gets_nothing_again(write_side: WriteSide, capsys: pytest.CaptureFixture[str]) -> None:
    ident = token_hex(8)
    await append(write_side, ident)
    body = pack_commits(Partition(0), [], [Stub(StreamId(f"comment-{ident}"), Version(2), Version(2))])
    await write_side.sqs.send_message(
        QueueUrl=write_side.facts.queues["rds"], MessageBody=body, MessageGroupId="p0", MessageDeduplicationId=token_hex(8)
    )
    code, found = await walked(write_side.settings, capsys, "--settle", "0")
    assert (code, found["ok"], found["republished"]) == (1, False, 0)
    assert isinstance(found["behind"], dict)
    assert found["behind"]["rds"] >= 1


@pytest.mark.parametrize("words", [["--settle", "-1"], ["--segments", "0"], ["--from-start"], ["--from-start", "--projector", "rds"]])
def test_wrong_use_is_one_line(words: list[str]) -> None:
    parser = ArgumentParser()
    reconcile.arguments(parser)
    with pytest.raises(WrongUse):
        reconcile.main(parser.parse_args(words))
