"""The real ports of a gateway: the only place that knows which adapter stands behind which."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from events.dynamo_store import open_store
from events.outcome import outcomes_channel, projected_channel
from gateway.amqp.broker import RabbitBroker
from gateway.command_queue import SqsCommandQueue
from gateway.composition import Gateway, Ports, running
from gateway.parcelling import pace_of
from gateway.redis_memory import RedisMemory
from gateway.subscription import RedisNotices
from readmodel.control import READ_MODEL
from readmodel.domains import registry as registered
from readmodel.feed_reading import Changes, open_changes
from readmodel.heads import Heads
from readmodel.opening import open_reads
from runtime.aws import aws_errors, open_aws
from runtime.health import Check
from runtime.redis_client import open_redis
from runtime.settings import Settings
from runtime.stack import StackItem, load_stack, read_stack

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from types_aiobotocore_sqs import SQSClient


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """The real thing. Raises ConfigurationError when settings and stack do not fit."""
    registry = registered(settings)
    async with AsyncExitStack() as opened:
        aws = await opened.enter_async_context(open_aws(settings))
        dynamodb, sqs = await aws.dynamodb(), await aws.sqs()
        stack = await load_stack(dynamodb, settings)
        store = await open_store(aws, stack, settings)
        redis = await opened.enter_async_context(open_redis(settings))
        heads = Heads()
        reads = await opened.enter_async_context(open_reads(settings, store, heads))
        queue_url = stack.queues["commands"]

        async def table() -> None:
            await read_stack(dynamodb, settings)

        memory = RedisMemory(redis, settings.stack)
        checks: dict[str, Check] = {
            "sqs": lambda: _queue_answers(sqs, queue_url),
            "dynamodb": table,
            "postgres": reads.check,
            "redis": memory.ping,
        }
        ports = Ports(
            SqsCommandQueue(sqs, queue_url),
            store,
            registry,
            memory,
            RedisNotices(redis, outcomes_channel(settings.stack)),
            reads,
            reads.projected,
            checks,
            stack.partitions,
            heads,
            StackItem(dynamodb, settings),
            settings.partitions,
            RabbitBroker(settings.amqp_url) if settings.amqp_url else None,
            await _changes(opened, settings, redis) if settings.feed_seconds else None,
            pace_of(settings.linger_seconds),
        )
        yield await opened.enter_async_context(running(ports))


async def _changes(opened: AsyncExitStack, settings: Settings, redis: "Redis") -> tuple[Changes, RedisNotices]:
    changes = await opened.enter_async_context(open_changes(settings))
    return changes, RedisNotices(redis, projected_channel(settings.stack, READ_MODEL))


async def _queue_answers(sqs: "SQSClient", url: str) -> None:
    with aws_errors():
        await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
