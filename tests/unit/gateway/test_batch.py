"""Many commands in one request."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from events.ids import Version, partition_of
from events.outcome import Outcome, Status
from gateway.command_queue import Message, Sent
from tests.unit.gateway.fakes import World, until

NDJSON = {"content-type": "application/x-ndjson"}


def create(number: int, **more: Any) -> dict[str, Any]:
    return {"name": "comment.create", "data": {"picture_id": "p", "text": "x", "comment_id": f"c{number}"}, **more}


async def batch(gateway: World, lines: Sequence[Any], **headers: str) -> tuple[httpx.Response, list[dict[str, Any]]]:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    answer = await gateway.client.post("/commands/batch", content=text.encode(), headers=NDJSON | headers)
    return answer, [json.loads(line) for line in answer.text.splitlines()]


async def test_one_receipt_a_line_in_order(gateway: World) -> None:
    answer, receipts = await batch(gateway, [create(number) for number in range(1000)])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert [each["stream"] for each in receipts] == [f"comment-c{number}" for number in range(1000)]
    assert {each["status"] for each in receipts} == {"pending"}
    assert len(gateway.queue.taken) == 1000


async def test_no_line_no_receipt(gateway: World) -> None:
    answer, receipts = await batch(gateway, [])
    assert (answer.status_code, receipts) == (200, [])


async def test_the_last_line_may_lack_its_end(gateway: World) -> None:
    answer = await gateway.client.post("/commands/batch", content=json.dumps(create(1)).encode(), headers=NDJSON)
    assert len(answer.text.splitlines()) == 1


async def test_bad_lines_are_refused_alone(gateway: World) -> None:
    lines: list[Any] = [create(number) for number in range(6)]
    lines[1] = "{"
    lines[2] = {"name": "comment.explode", "data": {}}
    lines[3] = ""
    lines[4] = create(4, stream="comment-other")
    _, receipts = await batch(gateway, lines)
    assert [each["status"] for each in receipts] == ["pending", *["refused"] * 4, "pending"]
    assert [each.get("code") for each in receipts[1:5]] == ["malformed", "unknown_command", "malformed", "malformed"]
    assert [each["line"] for each in receipts[1:5]] == [2, 3, 4, 5]
    assert len(gateway.queue.taken) == 2


async def test_commands_of_a_stream_keep_the_order_of_their_lines(gateway: World) -> None:
    update = {"name": "comment.update", "data": {"comment_id": "c1", "text": "y"}}
    await batch(gateway, [create(1), *[update | {"id": f"u{number}"} for number in range(500)]])
    assert [each.id for each in gateway.queue.taken][1:] == [f"u{number}" for number in range(500)]


async def test_an_id_that_stands_twice_gets_the_same_receipt_or_none(gateway: World) -> None:
    other = create(1, id="k")
    other["data"] = other["data"] | {"text": "other"}
    _, receipts = await batch(gateway, [create(1, id="k"), create(1, id="k"), other])
    assert receipts[0] == receipts[1]
    assert (receipts[2]["status"], receipts[2]["code"], receipts[2]["line"]) == ("refused", "command_id_reused", 3)


async def test_limits_of_lines(gateway: World) -> None:
    huge = create(2)
    huge["data"]["text"] = "x" * 262_144
    _, receipts = await batch(gateway, [create(1), huge, *[create(number) for number in range(3, 10_003)]])
    assert len(receipts) == 10_002
    assert [each["line"] for each in receipts if each["status"] == "refused"] == [2, 10_001, 10_002]
    assert {each["code"] for each in receipts if each["status"] == "refused"} == {"too_large"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-length": str(16 * 1024 * 1024 + 1)}, 413),
        ({"content-type": "application/json"}, 415),
        ({"idempotency-key": "k"}, 400),
        ({"if-match": '"1"'}, 400),
    ],
)
async def test_what_is_wrong_with_a_whole_batch(gateway: World, headers: dict[str, str], status: int) -> None:
    answer = await gateway.client.post("/commands/batch", content=b"{}", headers=NDJSON | headers)
    assert answer.status_code == status


async def test_outcomes_are_waited_for(gateway: World) -> None:
    posting = asyncio.create_task(batch(gateway, [create(number) for number in range(3)], prefer="wait=5"))
    await until(lambda: len(gateway.queue.taken) == 3)
    for command in gateway.queue.taken:
        refused = Outcome(Status.REJECTED, Version(1), "comment_exists", "a comment with this id was created before")
        applied = Outcome(Status.APPLIED, Version(1))
        gateway.notices.tell(command, refused if command.stream == "comment-c1" else applied)
    answer, receipts = await posting
    assert answer.headers["preference-applied"] == "wait=5"
    assert [each["status"] for each in receipts] == ["applied", "rejected", "applied"]
    assert (receipts[0]["token"], receipts[1]["reason"]) == ("comment-c0@1", "comment_exists")


async def test_what_sqs_does_not_take_is_refused_with_what_follows_it(gateway: World) -> None:
    def refuse_one_partition(messages: Sequence[Message]) -> list[Sent]:
        return [Sent.NEVER if each.partition == 0 else Sent.YES for each in messages]

    gateway.queue.decide = refuse_one_partition
    _, receipts = await batch(gateway, [create(number) for number in range(100)])
    taken = {each.stream for each in gateway.queue.taken}
    assert [each["status"] == "pending" for each in receipts] == [each["stream"] in taken for each in receipts]
    assert {each["code"] for each in receipts if each["status"] == "refused"} == {"unavailable"}


async def test_receipts_come_as_they_are_confirmed(gateway: World) -> None:
    slow = partition_of("comment-c7", 4)
    lines = [create(number) for number in range(7) if partition_of(f"comment-c{number}", 4) != slow] + [create(7)]
    gateway.queue.decide = lambda messages: [Sent.AGAIN if each.partition == slow else Sent.YES for each in messages]
    written: asyncio.Queue[bytes] = asyncio.Queue()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": "\n".join(map(json.dumps, lines)).encode(), "more_body": False}

    async def send(message: Any) -> None:
        if message.get("body"):
            await written.put(message["body"])

    path = "/commands/batch"
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/x-ndjson")],
    }
    request = asyncio.create_task(gateway.gateway.app(scope, receive, send))
    assert len((await written.get()).splitlines()) == len(lines) - 1
    assert not request.done()
    gateway.queue.decide = None
    await request
    assert json.loads(await written.get())["stream"] == "comment-c7"
