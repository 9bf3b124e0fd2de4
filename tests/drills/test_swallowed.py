"""Publishes that SNS confirms and loses, a projector that stands still, a walk that is wanted: what arrives again, and what must not."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from events.ids import StreamId
from events.parcel import read_commits
from headrace.local import state
from headrace.local.environment import merged
from headrace.local.servers import aws
from readmodel.domains import registry
from readmodel.reconciling import Standings, open_standings
from runtime.aws import open_aws
from runtime.settings import Settings, load
from runtime.stack import table_name
from tests.acceptance.stack import AWS, Live, headrace, stack_up
from tests.support.fault_proxy import FaultProxy, fault_proxy
from workers.walks import Walks

pytestmark = [pytest.mark.slow, pytest.mark.long]

HEALED_SECONDS = 90.0
STILL_SECONDS = 65.0
LOST_CALLS = 3
_FORGET = """
DELETE FROM rds_1.positions WHERE (projector, stream) IN
(SELECT projector, stream FROM rds_1.positions WHERE projector = 'cache' ORDER BY stream LIMIT 1) RETURNING stream
"""
_AGAIN = re.compile(r'^headrace_republished_commits_total\{projector="(\w+)"\} ([0-9.]+)$', re.M)


@pytest.fixture(scope="module")
async def proxied(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Live, FaultProxy]]:
    """A stack whose every AWS call goes through our hands."""
    folder = tmp_path_factory.mktemp("swallowed")
    async with aws(folder / "aws", AWS) as url, fault_proxy(url) as proxy, stack_up(folder / "state", aws=proxy.url) as live:
        yield live, proxy


def told(live: Live) -> Settings:
    return load(merged(dict(os.environ), state.environment(live.folder)))


async def published_again(live: Live) -> dict[str, int]:
    """Commits by projector, as the relay counts them."""
    stack = state.live(live.folder)
    assert stack is not None
    url = next(part.url for part in stack.parts if part.role == "relay")
    async with httpx.AsyncClient(trust_env=False) as client:
        return {name: round(float(count)) for name, count in _AGAIN.findall((await client.get(f"{url}/metrics")).text)}


def said(live: Live) -> str:
    """By the relay, about publishing again."""
    return "\n".join(line for line in (live.folder / "logs" / "relay.log").read_text().splitlines() if '"republish"' in line)


@asynccontextmanager
async def load_of(live: Live, rate: int, seconds: int) -> AsyncIterator[Process]:
    """`headrace load` of creations, begun; its report is read by `report`."""
    words = ("load", "--state", str(live.folder), "--rate", f"{rate}", "--duration", f"{seconds}", "--mix", "create=100,update=0,delete=0")
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace", *words, "--settle", "120", "--json", "-", stdout=PIPE, stderr=PIPE
    )
    try:
        assert running.stderr is not None
        async for line in running.stderr:
            if b"commands/s for" in line:
                break
        yield running
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def report(running: Process) -> dict[str, Any]:
    out, err = await running.communicate()
    found: dict[str, Any] = json.loads(out)
    faults = [each for each in found["faults"] if not each.startswith("void")]  # of a machine too busy to measure anything
    assert faults == [], err.decode()[-2000:]
    return found


async def until_passed(standings: Standings, heads: dict[StreamId, int]) -> None:
    while heads:
        found = await standings.of(list(heads))
        heads = {stream: last for stream, last in heads.items() if min(found[stream]["rds"], found[stream]["cache"]) < last}
        await asyncio.sleep(1)


async def until_walked(walks: Walks) -> None:
    while await walks.wanted() is not None:  # noqa: ASYNC110 - a row of a table
        await asyncio.sleep(1)


async def test_what_was_swallowed_under_load_arrives_within_ninety_seconds(proxied: tuple[Live, FaultProxy]) -> None:
    live, proxy = proxied
    async with asyncio.timeout(400), load_of(live, 30, 75) as running:
        await asyncio.sleep(5)
        before = await published_again(live)
        proxy.swallow(LOST_CALLS)
        while len(proxy.swallowed) < LOST_CALLS:  # noqa: ASYNC110 - the relay publishes when it publishes
            await asyncio.sleep(0.1)
        commits = [each for call in proxy.swallowed for body in call for each in read_commits(body).commits]
        async with open_standings(told(live), registry(told(live)), amqp=False) as standings, asyncio.timeout(HEALED_SECONDS):
            await until_passed(standings, {each.stream: each.last for each in commits})
        assert (await report(running))["audit"]["ok"]
    again = await published_again(live)
    assert again.get("rds", 0) - before.get("rds", 0) == len(commits), said(live)
    assert again.get("cache", 0) == before.get("cache", 0), said(live)


async def test_a_projector_that_stands_still_for_a_minute_under_load_gets_nothing_again(proxied: tuple[Live, FaultProxy]) -> None:
    live, _ = proxied
    before = await published_again(live)
    async with asyncio.timeout(400), load_of(live, 30, 80) as running:
        await asyncio.sleep(5)
        still = live.pid("projector-rds")
        os.kill(still, signal.SIGSTOP)
        try:
            await asyncio.sleep(STILL_SECONDS)  # the fault itself
        finally:
            os.kill(still, signal.SIGCONT)
        assert (await report(running))["audit"]["ok"]
    assert await published_again(live) == before, said(live)


async def test_a_walk_that_is_wanted_is_walked_and_finds_what_no_stream_holds_any_more(proxied: tuple[Live, FaultProxy]) -> None:
    live, _ = proxied
    settings = told(live)
    database = await asyncpg.connect(settings.database_url)
    async with asyncio.timeout(150), open_aws(settings) as opened, open_standings(settings, registry(settings), amqp=False) as standings:
        walks = Walks(await opened.dynamodb(), table_name(settings, "control"))
        await until_walked(walks)
        try:
            # The trail has long let go of it: for the stream's readers it is as if its records were gone.
            stream = await database.fetchval(_FORGET)
        finally:
            await database.close()
        assert (await standings.of([stream]))[stream]["cache"] == 0
        await walks.want("a drill")
        await until_passed(standings, {stream: 1})
        await until_walked(walks)
    code, out, err = await headrace("audit", "--json", "--state", str(live.folder))
    assert code == 0, out + err
