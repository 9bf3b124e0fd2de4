"""A database of its own for every test, copied from a migrated template; an empty Redis; a read model over both."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
import pytest
from redis.asyncio import Redis

from events.envelope import Commit
from events.ids import StreamId, Token, Version
from events.memory_store import MemoryStore
from events.outcome import projected_channel
from readmodel.cache import Cache
from readmodel.comments.projection import PROJECTION
from readmodel.database import PROJECTING, READING, REFRESHING, Database, open_database
from readmodel.heads import Heads
from readmodel.holding import Holding
from readmodel.holds import Hold
from readmodel.notices import Notices, listening
from readmodel.progress import Progress
from readmodel.projecting import Projecting
from readmodel.reads import Reads
from readmodel.refreshing import Refresher
from readmodel.schema import migrate
from readmodel.tiers import Tiers
from runtime.redis_client import open_redis
from runtime.settings import Settings
from tests.unit.readmodel.commits import REGISTRY, delivery, stored
from workers.projector_cache import CacheProjector
from workers.projector_rds import RdsProjector


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _named(url: str, database: str) -> str:
    return url.rpartition("/")[0] + "/" + database


@pytest.fixture(scope="session")
async def template(database_url: str) -> str:
    """The name of a database with the schema and no rows."""
    await _execute(database_url, "CREATE DATABASE readmodel_template")
    await migrate(Settings(database_url=_named(database_url, "readmodel_template")), REGISTRY)
    return "readmodel_template"


@pytest.fixture
async def read_settings(database_url: str, redis_url: str, template: str) -> AsyncIterator[Settings]:
    name = f"readmodel_{secrets.token_hex(4)}"
    await _execute(database_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield Settings(database_url=_named(database_url, name), redis_url=redis_url, stack=name)
    await _execute(database_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def database(read_settings: Settings) -> AsyncIterator[Database]:
    async with open_database(read_settings, PROJECTING) as database:
        yield database


@pytest.fixture
async def client(read_settings: Settings) -> AsyncIterator[Redis]:
    async with open_redis(read_settings) as client:
        await client.flushall()
        yield client


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def projecting(database: Database, store: MemoryStore) -> Projecting:
    return Projecting(database, REGISTRY, store)


@dataclass
class House:
    """Everything of the read side, put together as the roles do."""

    settings: Settings
    database: Database
    store: MemoryStore
    client: Redis
    cache: Cache
    reads: Reads
    rds: RdsProjector
    followed: CacheProjector
    refresher: Refresher
    notices: Notices
    heads: Heads


@pytest.fixture
async def house(
    read_settings: Settings,
    database: Database,
    client: Redis,
    store: MemoryStore,
    projecting: Projecting,
) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        reading = await stack.enter_async_context(open_database(read_settings, READING))
        refreshing = await stack.enter_async_context(open_database(read_settings, REFRESHING))
        quick = Cache(client, read_settings.stack, reading.generation, seconds=2.0)
        listener = await stack.enter_async_context(open_redis(read_settings))
        notices = await stack.enter_async_context(listening(Notices(listener, projected_channel(read_settings.stack, "rds"))))
        await notices.ready.wait()
        tiers = Tiers(reading, quick)
        stack.push_async_callback(tiers.close)
        progress = Progress(REGISTRY, reading.generation, shown=[PROJECTION.name])
        heads = Heads()
        refresher = Refresher(refreshing, Cache(client, read_settings.stack, reading.generation, seconds=5.0), REGISTRY)
        yield House(
            read_settings,
            database,
            store,
            client,
            quick,
            Reads(tiers, Holding(tiers, progress, notices, (store, heads))),
            RdsProjector(projecting, client, read_settings.stack),
            CacheProjector((refresher, notices), client, read_settings.stack),
            refresher,
            notices,
            heads,
        )


async def write(house: House, *commits: Commit) -> None:
    """Through the store and both projectors."""
    await stored(house.store, *commits)
    message = delivery(*commits)
    handled = await house.rds.handle([message])
    assert handled.done == [message]
    handled = await house.followed.handle([message])
    assert handled.done == [message]


def held(stream: StreamId, version: int, wait: float = 1.0) -> Hold:
    return Hold((Token(stream, Version(version)),), wait)
