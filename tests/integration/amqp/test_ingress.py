"""Commands out of a real RabbitMQ, into a gateway whose queue we see into."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from pamqp import commands as spec
from pamqp import encode

from events.ids import Version
from events.outcome import Outcome, Status
from gateway.amqp import ingress as ingress_module
from gateway.amqp.broker import RabbitBroker, RabbitLine
from gateway.amqp.publishing import COMMANDS, DEAD, DELIVERY_LIMIT, declared
from headrace.local import rabbit_server
from headrace.local.process import start, stop
from runtime.amqp import open_amqp
from tests.unit.gateway.fakes import World, world

LIMIT = 30.0


def body(comment: str) -> bytes:
    return json.dumps({"data": {"comment_id": comment, "picture_id": "p", "text": "x"}}).encode()


def create(number: int, **more: Any) -> Message:
    return Message(body(f"c{number}"), **{"content_type": "application/json", "message_id": f"m{number}", "delivery_mode": 2, **more})


async def until(condition: Any) -> None:
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.01)


@asynccontextmanager
async def channel(url: str) -> AsyncIterator[AbstractChannel]:
    async with open_amqp(url, "test") as connection:
        yield await connection.channel(on_return_raises=True)


@asynccontextmanager
async def empty(url: str) -> AsyncIterator[AbstractChannel]:
    """A channel on the broker, its queues there and empty."""
    async with channel(url) as opened:
        await declared(opened)
        for name in (COMMANDS, DEAD):
            await (await opened.get_queue(name)).purge()
        yield opened


async def publish(opened: AbstractChannel, *messages: Message, name: str = "comment.create") -> None:
    exchange = await opened.get_exchange(COMMANDS)
    for each in messages:
        await exchange.publish(each, name)


async def dead(opened: AbstractChannel) -> AbstractIncomingMessage:
    """The next one there."""
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    queue = await opened.get_queue(DEAD)
    tag = await queue.consume(arrived.put)
    async with asyncio.timeout(LIMIT):
        found = await arrived.get()
    await found.ack()
    await queue.cancel(tag)
    return found


async def depth(opened: AbstractChannel, name: str) -> int:
    return (await opened.declare_queue(name, passive=True)).declaration_result.message_count or 0


def taken(gateway: World) -> list[str]:
    return [each.id for each in gateway.queue.taken]


async def test_messages_become_commands_in_order_and_leave_the_queue(amqp_url: str) -> None:
    async with empty(amqp_url) as opened, world(partitions=1, broker=RabbitBroker(amqp_url)) as gateway:
        await publish(opened, *(create(number, user_id="guest") for number in range(700)))
        await until(lambda: len(taken(gateway)) == 700)
        assert taken(gateway) == [f"m{number}" for number in range(700)]
        assert {each.actor for each in gateway.queue.taken} == {"guest"}
    async with channel(amqp_url) as later:  # the door is closed: whatever was not acknowledged would be back
        assert await depth(later, COMMANDS) == 0


async def test_a_caller_gets_its_receipt_by_direct_reply(amqp_url: str) -> None:
    async with empty(amqp_url) as opened, world(broker=RabbitBroker(amqp_url)) as gateway:
        back: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        mine = await opened.get_queue("amq.rabbitmq.reply-to", ensure=False)
        await mine.consume(back.put, no_ack=True)
        await publish(opened, create(1, reply_to="amq.rabbitmq.reply-to", correlation_id="mine"), create(2, reply_to="nobody"))
        await until(lambda: len(taken(gateway)) == 2)
        for command in gateway.queue.taken:
            gateway.notices.tell(command, Outcome(Status.APPLIED, Version(1)))
        async with asyncio.timeout(LIMIT):
            told = await back.get()
        assert told.correlation_id == "mine"
        assert json.loads(told.body) == {
            "command_id": "m1",
            "stream": "comment-c1",
            "status": "applied",
            "status_url": "/commands/m1?stream=comment-c1",
            "version": 1,
            "token": "comment-c1@1",
        }


async def test_poison_lies_in_the_dead_letter_queue_with_its_reason_and_blocks_nobody(amqp_url: str) -> None:
    async with empty(amqp_url) as opened, world(broker=RabbitBroker(amqp_url)) as gateway:
        pickled = create(1, content_type="application/x-python-serialize", headers={"x": "kept"}, correlation_id="mine", user_id="guest")
        await publish(opened, pickled, create(2))
        letter = await dead(opened)
        assert letter.headers["headrace-reason"] == "unsupported_media_type"
        assert (letter.headers["x"], letter.headers["headrace-user-id"]) == ("kept", "guest")
        assert (letter.body, letter.message_id, letter.correlation_id) == (body("c1"), "m1", "mine")
        assert letter.routing_key == "comment.create"
        await publish(opened, Message(b"x" * (5 * 1024 * 1024), message_id="m3", content_type="application/json"))
        huge = await dead(opened)
        assert (huge.message_id, huge.body_size) == ("m3", 5 * 1024 * 1024)
        nested = {"deep": {"er": [1, None, {"a": 2**40}]}, "float": 1.5, "long": "x" * 100_000}
        await publish(opened, create(4, headers=nested, message_id="not valid"))
        assert (await dead(opened)).headers["headrace-reason"] == "malformed"
        await publish(opened, create(5))
        await until(lambda: sorted(taken(gateway)) == ["m2", "m5"])


async def test_odd_properties_are_no_reason_to_lose_a_message(amqp_url: str) -> None:
    async with empty(amqp_url) as opened, world(broker=RabbitBroker(amqp_url)) as gateway:
        underlay = await opened.get_underlay_channel()
        odd = spec.Basic.Properties(content_type="application/json", message_id="odd", priority=255, expiration="86400000", app_id="?")
        await underlay.basic_publish(body("odd"), exchange=COMMANDS, routing_key="comment.create", properties=odd)
        await publish(opened, create(1, type="whatever", timestamp=2**33))
        await until(lambda: sorted(taken(gateway)) == ["m1", "odd"])


async def test_what_sqs_has_but_was_not_acknowledged_comes_again_as_a_repeat(amqp_url: str) -> None:
    """The connection is cut between the hand-over and the acknowledgement."""
    async with empty(amqp_url) as opened, world(broker=RabbitBroker(amqp_url)) as gateway:
        handed_over, hold = asyncio.Event(), asyncio.Event()
        mark = gateway.memory.mark

        async def held_mark(accepted: Any) -> None:
            await mark(accepted)
            handed_over.set()
            await hold.wait()

        gateway.gateway.sender._mark = held_mark
        await publish(opened, create(1))
        async with asyncio.timeout(LIMIT):
            await handed_over.wait()
        ingress = gateway.gateway.ingress
        assert ingress is not None
        assert isinstance(ingress._line, RabbitLine)
        await ingress._line._consuming.connection.close()
        hold.set()
        await until(lambda: len(gateway.queue.taken) == 2)
        assert [(each.id, each.repeat) for each in gateway.queue.taken] == [("m1", False), ("m1", True)]


async def test_a_broker_that_goes_and_comes_back_loses_nothing(tmp_path: Path, amqp_url: str) -> None:
    """Stopped, not killed: after a kill -9 RabbitMQ 3.10 finds no leader for a quorum queue that was consumed (rabbitmq-server #10070)."""
    assert amqp_url  # where there is a broker at all
    program = rabbit_server.prepare(tmp_path / "rabbit", tmp_path / "rabbit.log")
    server = await start(program)
    try:
        async with empty(program.url) as opened:
            await publish(opened, *(create(number) for number in range(50)))
        async with world(broker=RabbitBroker(program.url, prefetch=10)) as gateway:
            gateway.queue.open.clear()
            await until(lambda: gateway.queue.calls)
            await stop(server, program.stop_signal, 20)
            gateway.queue.open.set()
            server = await start(program)
            await until(lambda: len(set(taken(gateway))) == 50)
            gateway.gateway.stopping()
            async with asyncio.timeout(LIMIT):
                await gateway.gateway.drained()
        async with channel(program.url) as opened:
            assert (await depth(opened, COMMANDS), await depth(opened, DEAD)) == (0, 0)
    finally:
        await stop(server, program.stop_signal, 10)
        await rabbit_server.remove(program)


async def test_a_message_in_hand_when_connection_after_connection_ends_is_dead_lettered(amqp_url: str) -> None:
    async with empty(amqp_url) as opened:
        await publish(opened, create(1))
        for _ in range(DELIVERY_LIMIT + 1):
            async with RabbitBroker(amqp_url).line() as line:
                async with asyncio.timeout(LIMIT):
                    assert [each.message_id for each in await line.next()] == ["m1"]
        letter = await dead(opened)
        deaths: Any = letter.headers["x-death"]
        assert deaths[0]["reason"] == "delivery_limit"


async def test_a_gateway_comes_up_without_its_broker_and_says_so(unused_tcp_port: int) -> None:
    async with world(broker=RabbitBroker(f"amqp://guest:guest@127.0.0.1:{unused_tcp_port}/")) as gateway:
        answer = await gateway.client.post("/pictures/p/comments", json={"text": "x"})
        assert answer.status_code == 202
        ready = (await gateway.client.get("/readyz")).json()
        assert ready["dependencies"]["rabbitmq"] == {"ok": False, "detail": "NoLine"}


@pytest.mark.parametrize("name", [COMMANDS, DEAD])
async def test_exchanges_are_plain_so_that_others_may_declare_them_too(amqp_url: str, name: str) -> None:
    async with empty(amqp_url) as opened:
        exchange = await opened.declare_exchange(name, aio_pika.ExchangeType.TOPIC, durable=True)
        assert exchange.name == name


async def test_what_the_documents_show_publishes_a_command(amqp_url: str) -> None:
    text = (Path(__file__).parents[3] / "docs" / "amqp.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(compile(text.partition("```python\n")[2].partition("```")[0], "docs/amqp.md", "exec"), names)
    async with empty(amqp_url) as opened, world(broker=RabbitBroker(amqp_url)) as gateway:
        await names["comment"](opened)
        await until(lambda: taken(gateway) == ["order-42"])
        assert gateway.queue.taken[0].stream == "comment-c42"


def undecodable(number: int) -> spec.Basic.Properties:
    """Properties with a time beyond what the library can read, which ends the whole connection: microseconds where seconds belong."""

    class Beyond(datetime):
        pass

    return spec.Basic.Properties(
        content_type="application/json", message_id=f"m{number}", delivery_mode=2, timestamp=Beyond(2020, 1, 1, tzinfo=UTC)
    )


async def test_a_message_that_ends_every_connection_wears_out_alone(amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = encode.METHODS["timestamp"]
    beyond = (1_700_000_000 * 10**6).to_bytes(8, "big")
    monkeypatch.setitem(encode.METHODS, "timestamp", lambda value: beyond if type(value).__name__ == "Beyond" else plain(value))
    monkeypatch.setattr(encode, "timestamp", encode.METHODS["timestamp"])
    monkeypatch.setattr(ingress_module, "backoff", lambda *_: 0.01)
    async with empty(amqp_url) as opened:
        await publish(opened, *(create(number) for number in range(10)))
        underlay = await opened.get_underlay_channel()
        await underlay.basic_publish(body("poison"), exchange=COMMANDS, routing_key="comment.create", properties=undecodable(99))
        await publish(opened, *(create(number) for number in range(10, 40)))
        async with world(partitions=1, broker=RabbitBroker(amqp_url)) as gateway:
            await until(lambda: {f"m{number}" for number in range(40)} <= set(taken(gateway)))
            async with asyncio.timeout(LIMIT):
                while await depth(opened, DEAD) + await depth(opened, COMMANDS) != 1 or not await depth(opened, DEAD):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        assert (await depth(opened, DEAD), await depth(opened, COMMANDS)) == (1, 0)


async def test_a_consumer_that_the_broker_cancelled_is_noticed(amqp_url: str) -> None:
    async with empty(amqp_url) as opened, world(broker=RabbitBroker(amqp_url)) as gateway:
        await publish(opened, create(1))
        await until(lambda: taken(gateway) == ["m1"])
        ingress = gateway.gateway.ingress
        assert ingress is not None
        before = ingress._line
        await opened.queue_delete(COMMANDS)
        await until(lambda: ingress._line not in {None, before})  # a new one, and with it the queue is there again
        await publish(opened, create(2))
        await until(lambda: "m2" in taken(gateway))


async def test_a_reply_queue_that_is_full_costs_its_owner_alone(amqp_url: str) -> None:
    async with empty(amqp_url) as opened, world(broker=RabbitBroker(amqp_url)) as gateway:
        full = await opened.declare_queue("full", exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
        await opened.default_exchange.publish(Message(b"there"), full.name)
        back = await opened.declare_queue("back", exclusive=True)
        await publish(opened, create(1, reply_to=full.name), create(2, reply_to=back.name))
        await until(lambda: len(taken(gateway)) == 2)
        for command in sorted(gateway.queue.taken, key=lambda each: each.id):
            gateway.notices.tell(command, Outcome(Status.APPLIED, Version(1)))
        async with asyncio.timeout(5):
            while (told := await back.get(fail=False)) is None:  # noqa: ASYNC110 - another process puts it there
                await asyncio.sleep(0.02)
        assert json.loads(told.body)["command_id"] == "m2"


async def test_a_dead_letter_queue_that_was_deleted_is_there_again_before_anything_is_put_into_it(amqp_url: str) -> None:
    async with empty(amqp_url) as opened, world(broker=RabbitBroker(amqp_url)) as gateway:
        await publish(opened, create(1, content_type="text/plain"))
        assert (await dead(opened)).message_id == "m1"
        await opened.queue_delete(DEAD)
        await publish(opened, create(2, content_type="text/plain"), create(3))
        await until(lambda: taken(gateway) == ["m3"])
        await declared(opened)
        assert (await dead(opened)).message_id == "m2"
