"""Names, and clients as a competent engineer would configure them."""

import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

RUN = os.environ["PEER_RUN"]
TABLE, CHECKPOINTS = f"{RUN}-events", f"{RUN}-checkpoints"
COMMANDS, PROJECTION, TOPIC = f"{RUN}-commands.fifo", f"{RUN}-projection.fifo", f"{RUN}-events.fifo"
DATABASE_URL = os.environ["PEER_DATABASE_URL"]


@asynccontextmanager
async def client(service: str) -> AsyncIterator[Any]:
    """Enough connections for all that is in flight; reads outlast the long poll."""
    config = AioConfig(max_pool_connections=128, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3}, tcp_keepalive=True)
    async with get_session().create_client(service, config=config) as found:
        yield found


async def queue_url(sqs: Any, name: str) -> str:
    return str((await sqs.get_queue_url(QueueName=name))["QueueUrl"])


def run(main: Coroutine[Any, Any, None]) -> None:
    """Until SIGTERM: the process just ends, and what it had in hand comes again."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    uvloop.run(main)
