"""The second door on a broker by hand: order, acknowledgement, what is held in place, what is buried, what is replied."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from events.ids import EMPTY, Version
from events.outcome import Outcome, Status
from gateway import sender as sender_module
from gateway.amqp import replies as replies_module
from gateway.amqp.messages import Arrived
from gateway.command_queue import Message, Sent
from runtime.metrics import DISCARDS
from tests.support.scripted_line import ScriptedBroker, ScriptedLine
from tests.unit.gateway.fakes import World, until, world


def message(tag: int, comment: str = "", **more: Any) -> Arrived:
    data = {"comment_id": comment or f"c{tag}", "picture_id": "p", "text": f"t{tag}"}
    kept = {"name": "comment.create", "content_type": "application/json", "message_id": f"m{tag}"}
    return Arrived(tag=tag, **{"body": json.dumps({"data": data}).encode(), **kept, **more})


@asynccontextmanager
async def door(*lines: ScriptedLine, partitions: int = 4) -> AsyncIterator[tuple[World, ScriptedBroker]]:
    broker = ScriptedBroker(*lines)
    async with world(partitions, broker=broker) as gateway:
        yield gateway, broker


def ids(gateway: World) -> list[str]:
    return [each.id for each in gateway.queue.taken]


async def test_what_came_is_handed_over_in_order_and_acknowledged_only_then() -> None:
    line = ScriptedLine()
    async with door(line) as (gateway, _):
        gateway.queue.open.clear()
        line.put(*(message(tag, "same") for tag in range(1, 6)))
        await until(lambda: gateway.queue.calls)
        assert line.acknowledged == 0
        gateway.queue.open.set()
        await until(lambda: line.acknowledged == 5)
        assert ids(gateway) == ["m1", "m2", "m3", "m4", "m5"]


async def test_the_actor_is_the_brokers_user_and_the_trace_goes_along() -> None:
    line, parent = ScriptedLine(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with door(line) as (gateway, _):
        line.put(message(1, user_id="ada", headers={"traceparent": parent}), message(2, headers={"traceparent": 7}))
        await until(lambda: line.acknowledged == 2)
        by_id = {str(each.id): each for each in gateway.queue.taken}
        assert (by_id["m1"].actor, by_id["m1"].traceparent) == ("ada", parent)
        assert (by_id["m2"].actor, by_id["m2"].traceparent) == ("anonymous", "")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"content_type": "application/x-python-serialize"}, "unsupported_media_type"),
        ({"content_type": "application/json; charset=utf-16"}, "unsupported_media_type"),
        ({"content_encoding": "gzip"}, "unsupported_media_type"),
        ({"message_id": ""}, "malformed"),
        ({"message_id": "a b"}, "malformed"),
        ({"user_id": "no spaces here"}, "malformed"),
        ({"name": "comment.explode"}, "unknown_command"),
        ({"body": b"\x80\x04\x95."}, "malformed"),
        ({"body": b'{"data": {}, "tenant": "x"}'}, "malformed"),
        ({"body": b'{"data": {"comment_id": "c", "picture_id": "p", "text": ""}}'}, "limit"),
        ({"body": b'{"data": {"comment_id": "c", "picture_id": "p", "text": "x\\u0000"}}'}, "malformed"),
        ({"body": b'{"data": {"comment_id": "c", "picture_id": "p", "text": "x"}, "stream": "comment-d"}'}, "malformed"),
        ({"body": b" " * (256 * 1024 + 1)}, "too_large"),
    ],
)
async def test_what_carries_no_command_is_buried_with_its_reason_and_its_neighbours_go_on(wrong: dict[str, Any], code: str) -> None:
    line = ScriptedLine()
    async with door(line) as (gateway, _):
        line.put(message(1), message(2, **wrong), message(3))
        await until(lambda: line.acknowledged == 3)
        assert [reason for _, reason in line.buried] == [code]
        assert sorted(ids(gateway)) == ["m1", "m3"]


async def test_an_id_used_for_something_else_is_buried_and_a_repeat_says_that_it_is_one() -> None:
    line = ScriptedLine()
    async with door(line) as (gateway, _):
        line.put(message(1, "c", message_id="k"), message(2, "c", message_id="k"))
        await until(lambda: line.acknowledged == 2)
        assert line.buried == [("k", "command_id_reused")]
        line.put(message(3, "c", message_id="k", body=message(1, "c").body))
        await until(lambda: line.acknowledged == 3)
        assert [(each.id, each.repeat) for each in gateway.queue.taken] == [("k", False), ("k", True)]


async def test_what_sqs_did_not_confirm_is_sent_again_in_its_place_before_anything_newer() -> None:
    line = ScriptedLine()
    async with door(line, partitions=1) as (gateway, _):
        refusals = [Sent.NEVER]

        def decide(messages: Sequence[Message]) -> list[Sent]:
            return [refusals.pop() if refusals else Sent.YES for _ in messages]

        gateway.queue.decide = decide
        gateway.queue.open.clear()
        line.put(*(message(tag, "same") for tag in range(1, 4)))
        await until(lambda: gateway.queue.calls)
        line.put(*(message(tag, "same") for tag in range(4, 7)))  # gathered behind the parcel that will be given up
        await until(lambda: gateway.gateway.sender.waiting_bytes > 0)
        gateway.queue.open.set()
        await until(lambda: line.acknowledged == 6)
        assert ids(gateway) == [f"m{tag}" for tag in range(1, 7)]
        assert [each.repeat for each in gateway.queue.taken][:3] == [True, True, True]


async def test_with_sqs_away_messages_are_held_and_nothing_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "STALLED_SECONDS", 0.05)
    line = ScriptedLine()
    async with door(line, partitions=1) as (gateway, _):
        gateway.queue.open.clear()
        line.put(message(1))
        await until(lambda: gateway.queue.calls)
        await asyncio.sleep(0.1)
        line.put(message(2), message(3))  # the sender takes no more now
        await asyncio.sleep(0.05)
        assert (line.acknowledged, line.buried) == (0, [])
        gateway.queue.open.set()
        await until(lambda: line.acknowledged == 3)
        assert ids(gateway) == ["m1", "m2", "m3"]


async def test_a_reply_is_the_receipt_once_the_outcome_is_known() -> None:
    line = ScriptedLine()
    async with door(line) as (gateway, _):
        line.put(message(1, reply_to="back", correlation_id="c-1"), message(2, reply_to="back"), message(3))
        await until(lambda: len(gateway.queue.taken) == 3)
        assert line.acknowledged in (0, 3)
        assert line.replies == []
        by_id = {str(each.id): each for each in gateway.queue.taken}
        gateway.notices.tell(by_id["m2"], Outcome(Status.REJECTED, EMPTY, "comment_exists", "it is there"))
        gateway.notices.tell(by_id["m1"], Outcome(Status.APPLIED, Version(1)))
        await until(lambda: len(line.replies) == 2)
        told = {correlation: (to, msgspec.json.decode(body)) for to, correlation, body in line.replies}
        assert told["c-1"] == ("back", {**_receipt("c1", "m1"), "status": "applied", "version": 1, "token": "comment-c1@1"})
        assert told["m2"][1]["reason"] == "comment_exists"
    assert gateway.gateway.outcomes.waiting == 0


def _receipt(comment: str, command_id: str) -> dict[str, Any]:
    stream = f"comment-{comment}"
    return {"command_id": command_id, "stream": stream, "status_url": f"/commands/{command_id}?stream={stream}"}


async def test_a_refused_message_is_replied_to_as_well() -> None:
    line = ScriptedLine()
    async with door(line) as (_, _):
        line.put(message(1, name="nothing.known", reply_to="back"))
        await until(lambda: line.replies)
        assert msgspec.json.decode(line.replies[0][2])["code"] == "unknown_command"


async def test_a_lost_connection_is_taken_up_again_and_owed_replies_go_over_the_next_one() -> None:
    line, second = ScriptedLine(), ScriptedLine()
    async with door(line) as (gateway, broker):
        line.put(message(1, reply_to="back"))
        await until(lambda: line.acknowledged == 1)
        broker.away = 1
        line.lose()
        broker.add(second)
        second.put(message(1, message_id="m9"))
        await until(lambda: second.acknowledged == 1)
        gateway.notices.tell(gateway.queue.taken[0], Outcome(Status.APPLIED, Version(1)))
        await until(lambda: second.replies)


async def test_a_reply_that_nobody_takes_is_counted_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies_module, "OUTCOME_SECONDS", 0.01)
    line = ScriptedLine()
    line.unroutable = True
    async with door(line) as (gateway, _):
        dropped = DISCARDS.labels("amqp", "reply")
        before = dropped._value.get()
        line.put(message(1, reply_to="nobody"))
        await until(lambda: dropped._value.get() == before + 1)
        assert msgspec.json.decode(line.replies[0][2])["status"] == "pending"
        await until(lambda: gateway.gateway.outcomes.waiting == 0)


async def test_stopping_takes_nothing_more_and_settles_what_it_has() -> None:
    line = ScriptedLine()
    async with door(line) as (gateway, _):
        gateway.queue.open.clear()
        line.put(message(1), message(2))
        await until(lambda: gateway.queue.calls)
        gateway.gateway.stopping()
        await until(lambda: line.stopped)
        line.put(message(3))
        gateway.queue.open.set()
        async with asyncio.timeout(5):
            await gateway.gateway.drained()
        assert (line.acknowledged, sorted(ids(gateway))) == (2, ["m1", "m2"])


async def test_while_the_partitions_change_messages_are_held_and_a_stop_leaves_them_to_the_broker() -> None:
    line = ScriptedLine()
    async with door(line) as (gateway, _):
        gateway.gateway.sender.hold()
        line.put(message(1))
        await until(lambda: gateway.gateway.sender.held)
        gateway.gateway.sender.go_on(2)
        await until(lambda: line.acknowledged == 1)
        gateway.gateway.sender.hold()
        line.put(message(2))
        await until(lambda: not line._waiting)
        gateway.gateway.stopping()
        async with asyncio.timeout(5):
            await gateway.gateway.drained()
        assert (line.acknowledged, ids(gateway)) == (1, ["m1"])


async def test_readiness_names_the_broker_only_where_there_is_one() -> None:
    line = ScriptedLine()
    async with world() as without:
        assert (await without.client.get("/readyz")).json()["dependencies"] == {}
    async with door(line) as (gateway, broker):
        await until(lambda: not line.lost)
        assert (await gateway.client.get("/readyz")).json()["dependencies"] == {"rabbitmq": {"ok": True}}
        broker.away = 10**6
        line.lose()
        await until(lambda: broker.away < 10**6)
        answer = await gateway.client.get("/readyz")
        assert (answer.status_code, answer.json()["dependencies"]["rabbitmq"]["ok"]) == (503, False)
