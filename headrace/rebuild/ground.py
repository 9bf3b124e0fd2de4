"""What every step of a rebuild stands on, opened once."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from events.domain import Registry
from events.dynamo_store import open_store
from events.scanning import Pages, open_pages
from events.store import EventStore
from headrace.rebuild.own_queue import OwnQueue, prefix, remove_all, subscribe
from readmodel.control import CONTROL_SCHEMA
from readmodel.database import FOLLOWING, REBUILDING, open_database, open_engine
from readmodel.domains import registry
from readmodel.schema import verify
from runtime.aws import open_aws
from runtime.settings import Settings
from runtime.stack import load_stack
from workers.queue import Queue

if TYPE_CHECKING:
    from types_aiobotocore_sns import SNSClient
    from types_aiobotocore_sqs import SQSClient

VISIBILITY_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Ground:
    """`engine`: for what belongs to no generation."""

    settings: Settings
    domains: Registry
    engine: AsyncEngine
    store: EventStore
    pages: Pages
    topic_arn: str
    clients: "tuple[SQSClient, SNSClient]"
    polling: "SQSClient"

    async def subscribe(self, generation: int) -> Queue:
        """A queue of this generation's own."""
        name = f"{prefix(self.settings.stack)}{generation}.fifo"
        own: OwnQueue = await subscribe(self.clients, self.topic_arn, name, VISIBILITY_SECONDS)
        return Queue(self.polling, self.clients[0], (own.url, own.url), VISIBILITY_SECONDS)

    async def unsubscribe(self) -> None:
        """All of them, also those that others left."""
        await remove_all(self.clients, self.topic_arn, self.settings.stack)


@asynccontextmanager
async def open_ground(settings: Settings) -> AsyncIterator[Ground]:
    """Raises ConfigurationError, Retryable, or SchemaMismatch where provision is due."""
    domains = registry(settings)
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(open_aws(settings))
        facts = await load_stack(await aws.dynamodb(), settings)
        engine = open_engine(settings, CONTROL_SCHEMA, REBUILDING)
        stack.push_async_callback(engine.dispose)
        async with open_database(settings, FOLLOWING) as current:
            await verify(current.engine)
        yield Ground(
            settings,
            domains,
            engine,
            await open_store(aws, facts, settings),
            await open_pages(aws, settings),
            facts.topic_arn,
            (await aws.sqs(), await aws.sns()),
            await aws.sqs_polling(),
        )
