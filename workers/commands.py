"""The command worker's process: `headrace run commands`."""

import asyncio
from contextlib import AsyncExitStack

from events.dynamo_store import open_store
from events.outcome import accepted_channel
from readmodel.domains import registry
from runtime.aws import open_aws
from runtime.redis_client import open_redis
from runtime.settings import Settings, require
from runtime.stack import StackItem, load_stack, table_name
from workers.command_worker import CommandWorker
from workers.consumer import consume, open_queue
from workers.partition_count import PartitionCount
from workers.process import Ready, run_role
from workers.snapshotting import snapshots_written
from workers.telling import Teller
from workers.trials import DynamoTrials
from workers.waking import Waker

LANES = 2  # one batch appends while the next is received and decided


def main(settings: Settings) -> int:
    """Exit code of the process."""
    return run_role(settings, "commands", _serve)


async def _serve(settings: Settings, stop: asyncio.Event, ready: Ready) -> None:
    require(settings, "redis_url")
    domains = registry(settings)
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(open_aws(settings))
        dynamodb = await aws.dynamodb()
        facts = await load_stack(dynamodb, settings)
        store = await open_store(aws, facts, settings)
        queue = await open_queue(aws, facts, "commands", settings)
        client = await stack.enter_async_context(open_redis(settings))
        snapshots = await stack.enter_async_context(snapshots_written(store, domains))
        trials = DynamoTrials(dynamodb, table_name(settings, "control"))
        count = PartitionCount(facts.partitions, StackItem(dynamodb, settings))
        worker = CommandWorker(store, domains, count, (queue, Teller(client, settings.stack), trials), snapshots)
        await stack.enter_async_context(ready.listening({"sqs": queue.check, "dynamodb": store.check}))
        waker = Waker(await stack.enter_async_context(open_redis(settings)), accepted_channel(settings.stack))
        await consume(queue, worker.handle, stop, LANES, waker)
