"""The application and its one task."""

import json
import os
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from psycopg_pool import ConnectionPool
from tables import COLUMNS

ENDPOINT = urlsplit(os.environ["AWS_ENDPOINT_URL"])
QUEUE = os.environ["PEER_RUN"]
THREADS = int(os.environ.get("PEER_THREADS", "16"))

app = Celery("comments", broker=f"sqs://test:test@{ENDPOINT.hostname}:{ENDPOINT.port}")
app.conf.update(
    broker_transport_options={
        "region": os.environ["AWS_REGION"],
        "is_secure": False,
        "predefined_queues": {
            QUEUE: {
                "url": f"{os.environ['AWS_ENDPOINT_URL']}/000000000000/{QUEUE}",
                "access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
                "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
            }
        },
        "wait_time_seconds": 20,  # "Using Amazon SQS": long polling, and then no pause of its own between polls
        "polling_interval": 0,
        "visibility_timeout": 60,
    },
    broker_connection_retry_on_startup=True,
    broker_pool_limit=THREADS,
    task_default_queue=QUEUE,
    task_create_missing_queues=True,
    task_acks_late=True,  # "Optimizing": the task may run twice, and is idempotent
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=int(os.environ.get("PEER_PREFETCH", "32")),  # "Optimizing": large for many short tasks
    worker_enable_remote_control=False,  # "Using Amazon SQS": not supported there
    worker_send_task_events=False,
)

EVENT = "INSERT INTO events VALUES (%s, 1, %s) ON CONFLICT DO NOTHING"
ROW = (
    "INSERT INTO comments (comment_id, picture_id, author, text, version, created_at) VALUES (%s, %s, %s, %s, 1, %s) ON CONFLICT DO NOTHING"
)
_pools: list[ConnectionPool] = []


def pool() -> ConnectionPool:
    """Of this process: opened by its first task, since connections do not survive a fork."""
    if not _pools:
        _pools.append(ConnectionPool(os.environ["PEER_DATABASE_URL"], min_size=1, max_size=THREADS, open=True))
    return _pools[0]


@app.task(name="comments.create")
def create(comment: dict[str, Any]) -> None:
    """Both statements in one transaction and one round trip."""
    with pool().connection() as connection, connection.pipeline():
        connection.execute(EVENT, (comment["comment_id"], json.dumps(comment)))
        connection.execute(ROW, [comment[name] for name in COLUMNS])
