"""A database of its own for every test, as the read model's tests have; the session's broker."""

from collections.abc import AsyncIterator

import pytest

from events.memory_store import MemoryStore
from readmodel.database import Database
from readmodel.projecting import Projecting
from readmodel.schema import migrate
from runtime.settings import Settings
from tests.integration.readmodel.conftest import _execute, _named, database, read_settings, store
from tests.unit.readmodel.commits import REGISTRY
from workers.amqp.exchange import Exchange, open_exchange
from workers.amqp.publishing import publishing

__all__ = ["database", "read_settings", "store"]


@pytest.fixture(scope="session")
async def template(database_url: str) -> str:
    """The name of a database with the schema and no rows."""
    await _execute(database_url, "CREATE DATABASE amqp_template")
    await migrate(Settings(database_url=_named(database_url, "amqp_template")), REGISTRY)
    return "amqp_template"


@pytest.fixture
async def exchange(amqp_url: str) -> AsyncIterator[Exchange]:
    async with open_exchange(amqp_url, "test") as exchange:
        await exchange.ready()
        yield exchange


@pytest.fixture
def projecting(database: Database, store: MemoryStore, exchange: Exchange) -> Projecting:
    return publishing(database, REGISTRY, store, exchange)
