"""With the profile `amqp`: a command goes in by RabbitMQ, its event comes out there, and its comment is read over HTTP."""

import json
import uuid

import httpx
from aio_pika import Message

from runtime.amqp import open_amqp
from tests.acceptance.compose.engine import Compose
from tests.support.amqp_receiver import receiving


async def test_commands_go_in_and_events_come_out(compose_with_rabbitmq: Compose) -> None:
    compose, comment = compose_with_rabbitmq, f"c-{uuid.uuid4().hex}"
    broker = f"amqp://headrace:headrace@{compose.address('rabbitmq', '5672')}/"
    body = json.dumps({"data": {"picture_id": "p", "comment_id": comment, "text": "Grüße 🌊"}}).encode()
    message = Message(body, content_type="application/json", message_id="k1", user_id="headrace")
    async with receiving(broker) as receiver, open_amqp(broker, "test") as connection:
        exchange = await (await connection.channel()).get_exchange("headrace.commands")
        await exchange.publish(message, "comment.create")
        await receiver.until(1)
    assert receiver.bodies[0]["stream"] == f"comment-{comment}"
    async with httpx.AsyncClient(base_url=compose.url(), timeout=30, trust_env=False) as client:
        read = await client.get(f"/comments/{comment}", params={"after": f"comment-{comment}@1", "wait": "10"})
    assert (read.status_code, read.json()["author"]) == (200, "headrace"), read.text
