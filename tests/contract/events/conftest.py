"""The adapters of the event store on this backend."""

from collections.abc import AsyncIterator

import pytest

from events.append_calls import append_call
from events.dynamo_store import DynamoStore
from events.memory_store import MemoryStore
from events.store import EventStore
from runtime.aws import Aws, open_aws
from runtime.settings import Settings
from runtime.stack import load_stack, table_name

OWN = "the stack's own"


@pytest.fixture(scope="session")
async def aws(settings: Settings) -> AsyncIterator[Aws]:
    async with open_aws(settings) as opened:
        yield opened


@pytest.fixture(params=["memory", OWN, "transact:2", "put:1"])
async def store(request: pytest.FixtureRequest, aws: Aws, settings: Settings) -> EventStore:
    if request.param == "memory":
        return MemoryStore()
    dynamodb, appending, table = await aws.dynamodb(), await aws.dynamodb_appending(), table_name(settings, "events")
    mode = (await load_stack(dynamodb, settings)).append if request.param == OWN else request.param
    return DynamoStore(dynamodb, table, append_call(mode, appending, table), table_name(settings, "snapshots"))
