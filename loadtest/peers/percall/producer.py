"""The gateway's half: one message a command, the stream as its group, the command's id against repeats."""

import json

from orders import Comment, serve
from percall.names import COMMANDS, client, queue_url, run


async def main() -> None:
    async with client("sqs") as sqs:
        url = await queue_url(sqs, COMMANDS)

        async def submit(comment: Comment) -> None:
            name = comment["comment_id"]
            await sqs.send_message(QueueUrl=url, MessageBody=json.dumps(comment), MessageGroupId=name, MessageDeduplicationId=name)

        await serve(submit)


if __name__ == "__main__":
    run(main())
