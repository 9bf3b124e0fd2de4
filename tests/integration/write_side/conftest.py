"""A stack of the write side's own on the session's servers, so that nobody else's roles read its queues."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from events.dynamo_store import DynamoStore, open_store
from events.envelope import Command
from events.ids import partition_of
from events.outcome import NOTICES, Notice, outcomes_channel
from events.parcel import encode_command, pack_commands
from headrace.provision import provision
from runtime.aws import Aws, open_aws
from runtime.redis_client import open_redis
from runtime.settings import Settings
from runtime.stack import Stack, load_stack
from workers import commands, relay
from workers.process import Ready, Serve

LIMIT = 25.0  # seconds within which anything must happen
ROLES: dict[str, Serve] = {"commands": commands._serve, "relay": relay._serve}
Running = Callable[..., AbstractAsyncContextManager[asyncio.Event]]


@dataclass
class WriteSide:
    """What a test does to the stack, and what it looks at."""

    settings: Settings
    facts: Stack
    store: DynamoStore
    sqs: Any
    redis: Redis

    async def send(self, said: list[Command], *, body: str = "", group: str = "") -> None:
        """One parcel of one partition; `body` sends something else in its place."""
        partition = partition_of(said[0].stream, self.facts.partitions) if said else 0
        await self.sqs.send_message(
            QueueUrl=self.facts.queues["commands"],
            MessageBody=body or pack_commands(partition_of(said[0].stream, self.facts.partitions), [*map(encode_command, said)]),
            MessageGroupId=group or f"p{partition}",
            MessageDeduplicationId=secrets.token_hex(8),
        )

    @asynccontextmanager
    async def notices(self) -> AsyncIterator[AsyncIterator[Notice]]:
        async with self.redis.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(outcomes_channel(self.settings.stack))
            yield self._notices(subscription)

    @staticmethod
    async def _notices(subscription: Any) -> AsyncIterator[Notice]:
        while True:
            message = await subscription.get_message(timeout=LIMIT)
            for notice in NOTICES.decode(message["data"]) if message else ():
                yield notice

    async def messages(self, queue: str) -> AsyncIterator[dict[str, Any]]:
        """Every message of a queue as it comes, deleted on the way."""
        url = self.facts.queues[queue]
        while True:
            answer = await self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=2, MessageAttributeNames=["All"])
            for message in answer.get("Messages", []):
                await self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                yield message


@pytest.fixture(scope="session")
async def write_side(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WriteSide]:
    state: Path = tmp_path_factory.mktemp("write-side")
    own = replace(settings, stack=f"ws{secrets.token_hex(3)}", bind="127.0.0.1:0", state=str(state), visibility_seconds=2)
    await provision(own)
    async with open_aws(own) as aws, open_redis(own) as redis:
        yield await _write_side(own, aws, redis)


async def _write_side(settings: Settings, aws: Aws, redis: Redis) -> WriteSide:
    facts = await load_stack(await aws.dynamodb(), settings)
    return WriteSide(settings, facts, await open_store(aws, facts, settings), await aws.sqs(), redis)


@pytest.fixture
def running(write_side: WriteSide) -> Running:
    """`async with running("commands") as stop`: the role's own composition, until the block or `stop` ends it."""

    @asynccontextmanager
    async def run(role: str, settings: Settings | None = None) -> AsyncIterator[asyncio.Event]:
        told, stop = settings or write_side.settings, asyncio.Event()
        serving: Awaitable[None] = ROLES[role](told, stop, Ready(told))
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(_within(serving))
            try:
                yield stop
            finally:
                stop.set()
                await task

    return run


async def _within(serving: Awaitable[None]) -> None:
    await serving
