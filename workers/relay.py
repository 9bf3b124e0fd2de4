"""The relay's process: `headrace run relay`."""

import asyncio
import os
import secrets
import socket
from contextlib import AsyncExitStack

from events.outcome import appended_channel
from runtime.aws import aws_errors, open_aws
from runtime.errors import ConfigurationError
from runtime.redis_client import open_redis
from runtime.settings import Settings, require
from runtime.stack import load_stack, table_name
from workers.lease import Leases
from workers.process import Ready, run_role
from workers.relay_fleet import Relay
from workers.shard_reader import ShardReader, Topic
from workers.waking import Waker


def main(settings: Settings) -> int:
    """Exit code of the process."""
    return run_role(settings, "relay", _serve)


async def _serve(settings: Settings, stop: asyncio.Event, ready: Ready) -> None:
    require(settings, "redis_url")
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(open_aws(settings))
        dynamodb, streams = await aws.dynamodb(), await aws.streams()
        facts = await load_stack(dynamodb, settings)
        with aws_errors():
            table = (await dynamodb.describe_table(TableName=table_name(settings, "events")))["Table"]
        arn = table.get("LatestStreamArn")
        if arn is None:
            raise ConfigurationError([f"the table {table_name(settings, 'events')} has no stream"])
        owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        leases = Leases(dynamodb, table_name(settings, "control"), owner, settings.lease_seconds)
        reader = ShardReader(streams, arn, Topic(await aws.sns(), facts.topic_arn), leases)
        waker = Waker(await stack.enter_async_context(open_redis(settings)), appended_channel(settings.stack))

        async def stream_answers() -> None:
            with aws_errors():
                await streams.describe_stream(StreamArn=arn, Limit=1)

        await stack.enter_async_context(ready.listening({"dynamodbstreams": stream_answers}))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(waker.listen(stop))
            tasks.create_task(Relay(streams, arn, leases, reader).run(waker, stop))
