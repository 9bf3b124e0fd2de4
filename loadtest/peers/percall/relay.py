"""Stream records to the topic: one publish a commit, side by side within a page; a page is noted once all of it is out."""

import asyncio
import json
from typing import Any

from percall.names import CHECKPOINTS, TABLE, TOPIC, client, run

IDLE_SECONDS = 0.1  # an empty page costs a read: ten a second, as AWS allows five a shard and reader and charges for each
PUBLISHES_AT_ONCE = 32


class Relay:
    def __init__(self, dynamodb: Any, streams: Any, sns: Any, arn: str, topic: str) -> None:
        self.dynamodb, self.streams, self.sns, self.arn, self.topic = dynamodb, streams, sns, arn, topic
        self.free = asyncio.Semaphore(PUBLISHES_AT_ONCE)

    async def follow(self, shard: str) -> None:
        iterator = await self.iterator(shard)
        while iterator:
            page = await self.streams.get_records(ShardIterator=iterator, Limit=1000)
            if page["Records"]:
                await asyncio.gather(*(self.publish(record["dynamodb"]) for record in page["Records"] if record["eventName"] == "INSERT"))
                await self.note(shard, page["Records"][-1]["dynamodb"]["SequenceNumber"])
            else:
                await asyncio.sleep(IDLE_SECONDS)
            iterator = page.get("NextShardIterator")

    async def iterator(self, shard: str) -> str:
        noted = (await self.dynamodb.get_item(TableName=CHECKPOINTS, Key={"shard": {"S": shard}})).get("Item")
        where = {"ShardIteratorType": "TRIM_HORIZON"}
        if noted:
            where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": noted["sequence"]["S"]}
        return str((await self.streams.get_shard_iterator(StreamArn=self.arn, ShardId=shard, **where))["ShardIterator"])

    async def publish(self, record: Any) -> None:
        body = record["NewImage"]["body"]["S"]
        name = json.loads(body)["comment_id"]
        async with self.free:
            await self.sns.publish(TopicArn=self.topic, Message=body, MessageGroupId=name, MessageDeduplicationId=f"{name}@1")

    async def note(self, shard: str, sequence: str) -> None:
        await self.dynamodb.put_item(TableName=CHECKPOINTS, Item={"shard": {"S": shard}, "sequence": {"S": sequence}})


async def main() -> None:
    async with client("dynamodb") as dynamodb, client("dynamodbstreams") as streams, client("sns") as sns:
        arn = (await dynamodb.describe_table(TableName=TABLE))["Table"]["LatestStreamArn"]
        topic = (await sns.create_topic(Name=TOPIC, Attributes={"FifoTopic": "true", "FifoThroughputScope": "MessageGroup"}))["TopicArn"]
        relay = Relay(dynamodb, streams, sns, arn, topic)
        shards = (await streams.describe_stream(StreamArn=arn))["StreamDescription"]["Shards"]
        async with asyncio.TaskGroup() as tasks:
            for shard in shards:
                tasks.create_task(relay.follow(shard["ShardId"]))


if __name__ == "__main__":
    run(main())
