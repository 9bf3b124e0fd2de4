"""Commits to PostgreSQL: one transaction a commit, guarded by the version, then its message is deleted."""

import asyncio
import json
from typing import Any

import asyncpg
from percall.names import DATABASE_URL, PROJECTION, client, queue_url, run

RECEIVES_AT_ONCE = 4
INSERT = (
    "INSERT INTO comments (comment_id, picture_id, author, text, version, created_at) VALUES ($1, $2, $3, $4, 1, $5)"
    " ON CONFLICT (comment_id) DO NOTHING"
)


class Projector:
    def __init__(self, sqs: Any, url: str, pool: Any) -> None:
        self.sqs, self.url, self.pool = sqs, url, pool

    async def receive_for_ever(self) -> None:
        while True:
            answer = await self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
            await asyncio.gather(*(self.handle(message) for message in answer.get("Messages", ())))

    async def handle(self, message: Any) -> None:
        event = json.loads(message["Body"])
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(INSERT, *(event[name] for name in ("comment_id", "picture_id", "author", "text", "created_at")))
        await self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])


async def main() -> None:
    async with client("sqs") as sqs, asyncpg.create_pool(DATABASE_URL, min_size=4, max_size=16) as pool, asyncio.TaskGroup() as tasks:
        projector = Projector(sqs, await queue_url(sqs, PROJECTION), pool)
        for _ in range(RECEIVES_AT_ONCE):
            tasks.create_task(projector.receive_for_ever())


if __name__ == "__main__":
    run(main())
