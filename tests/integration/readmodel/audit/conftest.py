"""The house over a real event store, with the queue of the projector `amqp`, so that everything an audit reads is there."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from events.dynamo_store import DynamoStore, open_store
from headrace.provision import provision
from runtime.aws import open_aws
from runtime.settings import Settings
from runtime.stack import load_stack, table_name
from tests.integration.readmodel.audit.ground import Ground
from tests.integration.readmodel.conftest import House


@pytest.fixture(scope="session")
async def provisioned(settings: Settings) -> Settings:
    """A stack for all of these tests. No RabbitMQ runs there: what it was sent stands in PostgreSQL."""
    wanted = replace(settings, stack=f"audit{secrets.token_hex(3)}", amqp_url="amqp://127.0.0.1/")
    await provision(wanted)
    return wanted


@pytest.fixture
async def read_settings(read_settings: Settings, provisioned: Settings) -> Settings:
    """Its tables, and a database of the test's own."""
    return replace(provisioned, database_url=read_settings.database_url, redis_url=read_settings.redis_url)


@pytest.fixture
async def store(read_settings: Settings) -> AsyncIterator[DynamoStore]:
    """Empty."""
    async with open_aws(read_settings) as aws:
        dynamodb = await aws.dynamodb()
        table = table_name(read_settings, "events")
        found = await dynamodb.scan(TableName=table, ConsistentRead=True, ProjectionExpression="stream_id, first_version")
        assert "LastEvaluatedKey" not in found
        for item in found["Items"]:
            await dynamodb.delete_item(TableName=table, Key=item)
        yield await open_store(aws, await load_stack(dynamodb, read_settings), read_settings)


@pytest.fixture
async def ground(house: House) -> AsyncIterator[Ground]:
    async with open_aws(house.settings) as aws:
        yield Ground(house, await aws.dynamodb())
