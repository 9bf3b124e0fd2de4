"""The broker and its one task."""

import json
import os
from typing import Annotated, Any

import asyncpg
from tables import COLUMNS
from taskiq import Context, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq_aio_sqs import SQSBroker

broker = SQSBroker(
    os.environ["PEER_RUN"],
    endpoint_url=os.environ["AWS_ENDPOINT_URL"],
    region_name=os.environ["AWS_REGION"],
    wait_time_seconds=20,
    max_number_of_messages=10,
    visibility_timeout=60,
    enable_batching=os.environ.get("PEER_BATCHING") == "1",
    batch_timeout=0.1,
)
EVENT = "INSERT INTO events VALUES ($1, 1, $2) ON CONFLICT DO NOTHING"
ROW = (
    "INSERT INTO comments (comment_id, picture_id, author, text, version, created_at) VALUES ($1, $2, $3, $4, 1, $5) ON CONFLICT DO NOTHING"
)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_pool(state: TaskiqState) -> None:
    state.pool = await asyncpg.create_pool(os.environ["PEER_DATABASE_URL"], min_size=2, max_size=16)


@broker.task(task_name="comments.create")
async def create(comment: dict[str, Any], context: Annotated[Context, TaskiqDepends()]) -> None:
    async with context.state.pool.acquire() as connection, connection.transaction():
        await connection.execute(EVENT, comment["comment_id"], json.dumps(comment))
        await connection.execute(ROW, *(comment[name] for name in COLUMNS))
