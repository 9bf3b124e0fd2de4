"""Commands to events: for each message of a receive, side by side, read the stream, decide, append on condition, delete."""

import asyncio
import json
import os
import time
from typing import Any

from botocore.exceptions import ClientError
from percall.names import COMMANDS, TABLE, client, queue_url, run

RECEIVES_AT_ONCE = int(os.environ.get("PEER_RECEIVES", "6"))
ACKS = os.environ.get("PEER_ACKS")


class Worker:
    def __init__(self, sqs: Any, dynamodb: Any, url: str) -> None:
        self.sqs, self.dynamodb, self.url = sqs, dynamodb, url
        self.acks = os.open(ACKS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if ACKS else None

    async def receive_for_ever(self) -> None:
        while True:
            answer = await self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
            await asyncio.gather(*(self.handle(message) for message in answer.get("Messages", ())))

    async def handle(self, message: Any) -> None:
        """An append that somebody else was faster with leaves the message: it comes again and is decided anew."""
        command = json.loads(message["Body"])
        history = await self.dynamodb.query(
            TableName=TABLE,
            KeyConditionExpression="stream_id = :s",
            ExpressionAttributeValues={":s": {"S": command["comment_id"]}},
            ConsistentRead=True,
        )
        if not history["Items"] and not await self.append(command):
            return
        await self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    async def append(self, command: dict[str, Any]) -> bool:
        item = {"stream_id": {"S": command["comment_id"]}, "version": {"N": "1"}, "body": {"S": json.dumps(command)}}
        try:
            await self.dynamodb.put_item(TableName=TABLE, Item=item, ConditionExpression="attribute_not_exists(stream_id)")
        except ClientError as wrong:
            if wrong.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        if self.acks is not None:
            os.write(self.acks, f"{command['comment_id']} {command['created_at']} {time.time()}\n".encode())
        return True


async def main() -> None:
    async with client("sqs") as sqs, client("dynamodb") as dynamodb, asyncio.TaskGroup() as tasks:
        worker = Worker(sqs, dynamodb, await queue_url(sqs, COMMANDS))
        for _ in range(RECEIVES_AT_ONCE):
            tasks.create_task(worker.receive_for_ever())


if __name__ == "__main__":
    run(main())
