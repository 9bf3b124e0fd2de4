"""A reader of a queue that stops while messages come, on real SQS: nothing stays hidden from the next reader."""

import asyncio
from collections.abc import Sequence
from secrets import token_hex

from runtime.aws import open_aws
from tests.integration.write_side.conftest import LIMIT, WriteSide
from workers.consumer import Handled, consume
from workers.queue import Delivery, Queue

STOPS = 3
MESSAGES = 8
LOOKS_AGAIN_SECONDS = 0.11
"""An emulator's long poll looks for messages that often, also for a caller who hung up."""


async def send(write_side: WriteSide, url: str) -> None:
    """One message, in a group of its own."""
    ident = token_hex(8)
    await write_side.sqs.send_message(QueueUrl=url, MessageBody="b", MessageGroupId=ident, MessageDeduplicationId=ident)


async def test_what_comes_after_a_stop_is_there_for_the_next_reader(write_side: WriteSide) -> None:
    url = (await write_side.sqs.create_queue(QueueName=f"stops-{token_hex(4)}.fifo", Attributes={"FifoQueue": "true"}))["QueueUrl"]
    async with asyncio.timeout(LIMIT), open_aws(write_side.settings) as aws:
        queue = Queue(await aws.sqs_polling(), write_side.sqs, (url, url), 60)
        for _ in range(STOPS):
            stop, seen = asyncio.Event(), asyncio.Event()

            async def handle(deliveries: Sequence[Delivery], seen: asyncio.Event = seen) -> Handled:
                seen.set()
                return Handled(list(deliveries))

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(consume(queue, handle, stop, 2))
                await send(write_side, url)
                await seen.wait()
                stop.set()
            for _ in range(MESSAGES):
                await send(write_side, url)
                await asyncio.sleep(LOOKS_AGAIN_SECONDS)  # the fault itself, where there is one
            found = await queue.receive(0)
            assert len(found) == MESSAGES
            await queue.delete(found)
