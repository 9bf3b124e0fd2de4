"""The relay's process: `headrace run relay`."""

import asyncio
import os
import secrets
import socket
from contextlib import AsyncExitStack
from functools import partial

from events.outcome import appended_channel, published_channel
from runtime.aws import open_aws
from runtime.redis_client import open_redis
from runtime.settings import Settings, require
from runtime.stack import load_stack, table_name
from workers.lease import Leases
from workers.pacing import Pace
from workers.process import Ready, run_role
from workers.publishing import Publisher, Topic
from workers.reconciler import open_reconciler
from workers.relay_fleet import Fleet
from workers.stream import EventStream
from workers.waking import Waker, call
from workers.walks import Walks


def main(settings: Settings) -> int:
    """Exit code of the process."""
    return run_role(settings, "relay", _serve)


async def _serve(settings: Settings, stop: asyncio.Event, ready: Ready) -> None:
    require(settings, "redis_url", "database_url")
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(open_aws(settings))
        dynamodb = await aws.dynamodb()
        facts = await load_stack(dynamodb, settings)
        stream = EventStream(dynamodb, await aws.streams(), table_name(settings, "events"))
        await stream.arn()
        control = table_name(settings, "control")
        leases = Leases(dynamodb, control, owner_name(), settings.lease_seconds)
        client = await stack.enter_async_context(open_redis(settings))
        waker = Waker(client, appended_channel(settings.stack))
        publisher = Publisher(Topic(await aws.sns(), facts.topic_arn), partial(call, client, published_channel(settings.stack)))
        relay = Fleet(stream, leases, publisher, lambda: Pace(waker, gather=settings.gather_seconds), Walks(dynamodb, control))
        reconciler = await stack.enter_async_context(open_reconciler(settings, aws, facts, stream, leases))
        await stack.enter_async_context(ready.listening({"dynamodbstreams": stream.answers}))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(waker.listen(stop))
            if settings.relay == "fleet":
                tasks.create_task(relay.run(stop))
            tasks.create_task(reconciler.run(stop))


def owner_name() -> str:
    """Of leases: unique for the life of this process, and telling to people."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
