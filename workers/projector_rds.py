"""The projector "rds": commits into PostgreSQL. `headrace run projector-rds`."""

import asyncio
from contextlib import AsyncExitStack

from events.dynamo_store import open_store
from events.outcome import published_channel
from readmodel.database import PROJECTING, check_database, open_database
from readmodel.domains import registry
from readmodel.projecting import Projecting
from readmodel.schema import verify
from runtime.aws import open_aws
from runtime.redis_client import open_redis
from runtime.settings import Settings, require
from runtime.stack import load_stack
from workers.applying import Applying, consume_unbroken
from workers.consumer import open_queue
from workers.forgetting import pruning
from workers.process import Ready, run_role
from workers.waking import Waker


class RdsProjector(Applying):
    """Its batches are in PostgreSQL when they are handled."""

    name = "rds"


def main(settings: Settings) -> int:
    """Exit code of the process."""
    return run_role(settings, "projector-rds", _serve)


async def _serve(settings: Settings, stop: asyncio.Event, ready: Ready) -> None:
    require(settings, "database_url", "redis_url")
    domains = registry(settings)
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(open_aws(settings))
        facts = await load_stack(await aws.dynamodb(), settings)
        store = await open_store(aws, facts, settings)
        database = await stack.enter_async_context(open_database(settings, PROJECTING))
        await verify(database.engine, domains)
        client = await stack.enter_async_context(open_redis(settings))
        queue = await open_queue(aws, facts, "rds", settings)
        projecting = Projecting(database, domains, store, feed=settings.feed_seconds > 0)
        projector = RdsProjector(projecting, client, settings.stack)
        checks = {"sqs": queue.check, "dynamodb": store.check, "postgres": lambda: check_database(database)}
        await stack.enter_async_context(ready.listening(checks))
        await stack.enter_async_context(pruning(database.engine, settings.feed_seconds))
        waker = Waker(await stack.enter_async_context(open_redis(settings)), published_channel(settings.stack))
        await consume_unbroken(queue, projector, stop, database.engine, waker)
