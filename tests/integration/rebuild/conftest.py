"""A stack of its own with the roles of the read side running in it, a writer, and two gateways' reads."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg
import pytest

from events.comments.events import CommentUpdated
from events.dynamo_store import open_store
from events.ids import StreamId, Token, Version
from events.store import Appended, EventStore
from headrace.audit.checking import audit
from headrace.audit.findings import Findings
from headrace.provision import provision
from headrace.rebuild.alone import Alone, alone
from headrace.rebuild.ground import Ground, open_ground
from headrace.rebuild.rds import Options
from readmodel.following import FollowingReads
from readmodel.heads import Heads
from readmodel.holds import Hold
from readmodel.opening import open_reads
from runtime.aws import open_aws
from runtime.settings import Settings
from runtime.stack import load_stack
from tests.unit.readmodel.commits import comment, commit, history
from workers import projector_cache, projector_rds, relay
from workers.process import Ready

PLAIN = Options(read_units=None, segments=2, settle=20.0)


class Silent(Ready):
    """No health port: several roles in one process would share it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.event = asyncio.Event()

    def listening(self, checks: Any) -> Any:
        assert checks
        self.event.set()
        return nullcontext()


@dataclass
class Live:
    """The stack, its store, and two processes' worth of reads."""

    settings: Settings
    store: EventStore
    gateways: list[FollowingReads]
    written: dict[StreamId, Version] = field(default_factory=dict)
    reads: int = 0

    async def write(self, many: int, pictures: int = 7, updates: int = 1, start: int = 0) -> None:
        """So many new comments, ten streams a call."""
        for first in range(start, start + many, 10):
            mine = [comment(number) for number in range(first, min(first + 10, start + many))]
            lives = [history(stream, f"p{number % pictures}", updates=updates) for number, stream in enumerate(mine, first)]
            for level in zip(*lives, strict=True):
                assert set(await self.store.append(level)) == {Appended.YES}
            self.written |= {life[0].stream: life[-1].last for life in lives}

    async def go_on(self, stop: asyncio.Event, pause: float = 0.01) -> None:
        """One update after the other, until stopped; each is then read by both gateways with its token."""
        streams = sorted(self.written)
        number = 0
        while not stop.is_set():
            stream = streams[number * 7919 % len(streams)]
            version = Version(self.written[stream] + 1)
            await self.store.append([commit(stream, version, version - 1, CommentUpdated(f"live {number}"))])
            self.written[stream] = version
            number += 1
            await self._read(stream, version)
            await asyncio.sleep(pause)

    async def _read(self, stream: StreamId, version: Version) -> None:
        hold = Hold((Token(stream, version),), wait=10.0)
        for reads in self.gateways:
            found = await reads.comment(stream.removeprefix("comment-"), hold)
            assert found.version is not None
            assert found.version >= version, f"{stream} read at {found.version}, the token says {version}"
            self.reads += 1

    async def look(self, stop: asyncio.Event) -> None:
        """Reads without a token, now of one gateway and now of the other: none goes back behind what was shown.

        Of each tier by itself: when Redis is slow, PostgreSQL answers, which may be ahead of what Redis then answers again.
        """
        shown: dict[tuple[str, str], int] = {}
        number = 0
        while not stop.is_set():
            reads = self.gateways[number % 2]
            ident = str(number // 5 % 10)
            found = await reads.comment(ident)
            assert found.version is not None
            place = (ident, found.source)
            assert found.version >= shown.get(place, 0), f"{place}: {found.version} after {shown[place]}"
            shown[place] = found.version
            number += 1
            await asyncio.sleep(0)
        self.reads += number

    async def audited(self, settings: Settings | None = None) -> Findings:
        return await audit(settings or self.settings, 30.0)

    async def passed(self) -> None:
        """Until everything written is visible and followed."""
        for stream, version in self.written.items():
            await self._read(stream, version)
        for stream, version in self.written.items():
            while not (await self.gateways[0].projected(stream, version))["cache"]:  # noqa: ASYNC110 - asked as callers ask it
                await asyncio.sleep(0.02)


@asynccontextmanager
async def roles(settings: Settings) -> AsyncIterator[None]:
    """Relay and both projectors, until left."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for role in (relay, projector_rds, projector_cache):  # one by one: making clients keeps the loop busy for seconds
            ready = Silent(settings)
            tasks.create_task(role._serve(settings, stop, ready))
            await ready.event.wait()
        try:
            yield
        finally:
            stop.set()


@pytest.fixture
async def own(database_url: str, redis_url: str, aws_url: str, tmp_path: Any) -> AsyncIterator[Settings]:
    """A provisioned stack that is nobody else's."""
    name = f"rebuild{secrets.token_hex(3)}"
    connection = await asyncpg.connect(database_url)
    await connection.execute(f'CREATE DATABASE "{name}"')
    settings = Settings(
        aws_endpoint_url=aws_url,
        database_url=f"{database_url.rpartition('/')[0]}/{name}",
        redis_url=redis_url,
        stack=name,
        state=str(tmp_path),
        visibility_seconds=10,
    )
    await provision(settings)
    yield settings
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.close()


@pytest.fixture
async def live(own: Settings) -> AsyncIterator[Live]:
    async with living(own) as live:
        yield live


@asynccontextmanager
async def living(settings: Settings, domain: str = "") -> AsyncIterator[Live]:
    """With roles and gateways that know this domain, too."""
    settings = replace(settings, domain=domain)
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(open_aws(settings))
        store = await open_store(aws, await load_stack(await aws.dynamodb(), settings), settings)
        await stack.enter_async_context(roles(settings))
        gateways = [await stack.enter_async_context(open_reads(settings, store, Heads())) for _ in range(2)]
        yield Live(settings, store, gateways)


@asynccontextmanager
async def at_work(settings: Settings) -> AsyncIterator[tuple[Ground, Alone]]:
    """What the command opens before its first step."""
    async with open_ground(settings) as ground, alone(settings) as held:
        yield ground, held
