"""The projector "amqp": events out to RabbitMQ. `headrace run projector-amqp`.

At least once, in version order a stream, each message under an id that stays the same; see `workers.amqp`. While the broker is away
nothing moves: batches stay in hand and are tried again.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from events.dynamo_store import open_store
from readmodel.control import AMQP
from readmodel.database import PROJECTING, check_database, open_database
from readmodel.domains import registry
from readmodel.projecting import Projecting
from readmodel.schema import verify
from runtime.aws import open_aws
from runtime.errors import ConfigurationError
from runtime.redis_client import open_redis
from runtime.settings import Settings, require
from runtime.stack import Stack, load_stack
from workers.amqp.exchange import Exchange, open_exchange
from workers.amqp.messages import check_names
from workers.amqp.publishing import publishing
from workers.applying import Applying, consume_unbroken
from workers.consumer import Delivery, Handled, open_queue
from workers.process import Ready, run_role

if TYPE_CHECKING:
    from redis.asyncio import Redis


class AmqpProjector(Applying):
    """Its batches were confirmed by the broker when they are handled."""

    name = AMQP

    def __init__(self, projecting: Projecting, client: "Redis", stack: str, exchange: Exchange) -> None:
        super().__init__(projecting, client, stack)
        self._exchange = exchange

    async def handle(self, deliveries: Sequence[Delivery]) -> Handled:
        """Connects before it begins, so that no lock is held while it does. Raises AmqpAway, with nothing moved."""
        await self._exchange.ready()
        return await super().handle(deliveries)


def main(settings: Settings) -> int:
    """Exit code of the process."""
    return run_role(settings, "projector-amqp", _serve)


async def _serve(settings: Settings, stop: asyncio.Event, ready: Ready) -> None:
    require(settings, "database_url", "redis_url", "amqp_url")
    domains = registry(settings)
    check_names(domains)
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(open_aws(settings))
        facts = await load_stack(await aws.dynamodb(), settings)
        _check_queue(facts)
        store = await open_store(aws, facts, settings)
        database = await stack.enter_async_context(open_database(settings, PROJECTING))
        await verify(database.engine)
        client = await stack.enter_async_context(open_redis(settings))
        exchange = await stack.enter_async_context(open_exchange(settings.amqp_url, f"{settings.stack} projector-amqp"))
        queue = await open_queue(aws, facts, AMQP, settings)
        projector = AmqpProjector(publishing(database, domains, store, exchange), client, settings.stack, exchange)
        checks = {"sqs": queue.check, "dynamodb": store.check, "postgres": lambda: check_database(database), "rabbitmq": exchange.ready}
        await stack.enter_async_context(ready.listening(checks))
        await consume_unbroken(queue, projector, stop, database.engine)


def _check_queue(facts: Stack) -> None:
    if AMQP not in facts.queues:
        raise ConfigurationError(["HEADRACE_AMQP_URL: the stack has no queue for it; run `headrace provision` with it set"])
