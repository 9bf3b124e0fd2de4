"""Queues, topic, subscription, tables. Repeating it changes nothing."""

import asyncio
import json

import asyncpg
from percall.names import CHECKPOINTS, COMMANDS, DATABASE_URL, PROJECTION, TABLE, TOPIC, client

FIFO = {
    "FifoQueue": "true",
    "DeduplicationScope": "messageGroup",
    "FifoThroughputLimit": "perMessageGroupId",
    "VisibilityTimeout": "30",
}


async def queues() -> None:
    async with client("sqs") as sqs, client("sns") as sns:
        await sqs.create_queue(QueueName=COMMANDS, Attributes=FIFO)
        url = (await sqs.create_queue(QueueName=PROJECTION, Attributes=FIFO))["QueueUrl"]
        arn = (await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"]))["Attributes"]["QueueArn"]
        topic = (await sns.create_topic(Name=TOPIC, Attributes={"FifoTopic": "true", "FifoThroughputScope": "MessageGroup"}))["TopicArn"]
        may = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
        await sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [may]})})
        await sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})


async def tables() -> None:
    async with client("dynamodb") as dynamodb:
        there = (await dynamodb.list_tables())["TableNames"]
        if TABLE not in there:
            await dynamodb.create_table(
                TableName=TABLE,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[
                    {"AttributeName": "stream_id", "AttributeType": "S"},
                    {"AttributeName": "version", "AttributeType": "N"},
                ],
                KeySchema=[{"AttributeName": "stream_id", "KeyType": "HASH"}, {"AttributeName": "version", "KeyType": "RANGE"}],
                StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
            )
        if CHECKPOINTS not in there:
            await dynamodb.create_table(
                TableName=CHECKPOINTS,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": "shard", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "shard", "KeyType": "HASH"}],
            )
        await dynamodb.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig={"Delay": 1})


async def database() -> None:
    connection = await asyncpg.connect(DATABASE_URL)
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS comments (comment_id text PRIMARY KEY, picture_id text NOT NULL, author text NOT NULL,"
        " text text NOT NULL, version bigint NOT NULL, created_at float8 NOT NULL)"
    )
    await connection.close()


async def main() -> None:
    await queues()
    await tables()
    await database()


if __name__ == "__main__":
    asyncio.run(main())
