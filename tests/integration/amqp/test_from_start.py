"""What was stored before RabbitMQ's queue was made: owed nothing, until somebody asks for it."""

import asyncio
import json
import time
from argparse import ArgumentParser
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from events.envelope import Commit
from headrace import reconcile
from runtime.times import Micros
from tests.integration.amqp.test_role import Outlet, outlet
from tests.support.amqp_receiver import receiving
from tests.unit.readmodel.commits import comment, history

__all__ = ["outlet"]

pytestmark = [pytest.mark.slow, pytest.mark.long]
LIMIT = 120.0


def newer(commit: Commit) -> Commit:
    """The same, said a minute from now: the queue's time has whole seconds."""
    recorded = [msgspec.structs.replace(each, at=Micros(int((time.time() + 60) * 1e6))) for each in commit.recorded()]
    return msgspec.structs.replace(commit, events=Raw(msgspec.json.encode(recorded)))


async def reconciled(outlet: Outlet, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    parser = ArgumentParser()
    reconcile.arguments(parser)
    code = await reconcile._reconcile(outlet.settings, parser.parse_args(["--json", "--projector", "amqp", *words]))
    return code, json.loads([line for line in capsys.readouterr().out.splitlines() if line.startswith("{")][-1])


async def test_older_streams_are_published_from_their_beginning_on_asking_only(
    outlet: Outlet, amqp_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [comment(f"older-{number}") for number in range(5)]
    for name in names:
        await outlet.stored(*history(name, updates=3))
    await outlet.stored(newer(history(comment("newer"))[0]))
    async with asyncio.timeout(LIMIT), receiving(amqp_url) as receiver, outlet.running():
        code, found = await reconciled(outlet, capsys)
        assert (code, found["missing"], found["healed"]) == (0, {"amqp": 1}, 1)
        assert {body["stream"] for body in receiver.bodies} == {comment("newer")}
        code, found = await reconciled(outlet, capsys, "--from-start")
        assert (code, found["missing"], found["healed"]) == (0, {"amqp": 5}, 5)
        await receiver.until(1 + 5 * 4)
        assert {name: receiver.of_stream(name) for name in names} == {name: [1, 2, 3, 4] for name in names}
