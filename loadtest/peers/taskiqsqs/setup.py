"""The queue and the tables."""

import asyncio
import os

import asyncpg
from aiobotocore.session import get_session
from tables import SCHEMA


async def main() -> None:
    async with get_session().create_client("sqs") as sqs:
        await sqs.create_queue(QueueName=os.environ["PEER_RUN"], Attributes={"VisibilityTimeout": "60"})
    connection = await asyncpg.connect(os.environ["PEER_DATABASE_URL"])
    await connection.execute(SCHEMA)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
