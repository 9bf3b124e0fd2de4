"""The house over a real event store, with the queue of the projector `amqp`, so that everything an audit reads is there."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from events.dynamo_store import DynamoStore, open_store
from headrace.provision import provision
from runtime.aws import open_aws
from runtime.settings import Settings
from runtime.stack import load_stack
from tests.integration.readmodel.audit.ground import Ground
from tests.integration.readmodel.conftest import House


@pytest.fixture
async def read_settings(read_settings: Settings, aws_url: str) -> Settings:
    """A stack of its own. No RabbitMQ runs there: what it was sent stands in PostgreSQL."""
    wanted = replace(read_settings, stack=read_settings.stack.replace("_", "-"), aws_endpoint_url=aws_url, amqp_url="amqp://127.0.0.1/")
    await provision(wanted)
    return wanted


@pytest.fixture
async def store(read_settings: Settings) -> AsyncIterator[DynamoStore]:
    async with open_aws(read_settings) as aws:
        yield await open_store(aws, await load_stack(await aws.dynamodb(), read_settings), read_settings)


@pytest.fixture
async def ground(house: House) -> AsyncIterator[Ground]:
    async with open_aws(house.settings) as aws:
        yield Ground(house, await aws.dynamodb())
