"""SQS's answers taken apart: what is not whole is a transport error, whatever fails in a batch is named."""

import hashlib
from typing import Any, cast

import pytest

from runtime.errors import Retryable
from tests.support.scripted_queue import delivery
from workers.queue import Delivery, Queue, most_receives

WHOLE: dict[str, Any] = {
    "MessageId": "m1",
    "ReceiptHandle": "r1",
    "Body": "héllo",
    "MD5OfBody": hashlib.md5("héllo".encode(), usedforsecurity=False).hexdigest(),
    "Attributes": {"MessageGroupId": "p3", "ApproximateReceiveCount": "2"},
}


class Sqs:
    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages = list(messages)
        self.calls: list[dict[str, Any]] = []

    async def receive_message(self, **_: Any) -> dict[str, Any]:
        return {"Messages": self._messages} if self._messages else {}

    async def delete_message_batch(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        return {"Failed": [{"Id": "1"}]} if len(call["Entries"]) > 1 else {}

    async def send_message(self, **call: Any) -> None:
        self.calls.append(call)


def queue(sqs: Sqs) -> Queue:
    client = cast(Any, sqs)
    return Queue(client, client, ("url", "dead"), 30)


async def test_a_whole_message_and_an_empty_answer() -> None:
    assert await queue(Sqs(WHOLE)).receive(20) == [Delivery("m1", "r1", "p3", "héllo", 2)]
    assert await queue(Sqs()).receive(20) == []


@pytest.mark.parametrize(
    "broken",
    [
        {key: value for key, value in WHOLE.items() if key != "Body"},
        {key: value for key, value in WHOLE.items() if key != "Attributes"},
        WHOLE | {"Attributes": {"MessageGroupId": "p3"}},
        WHOLE | {"Body": "hello"},
    ],
    ids=["no body", "no attributes", "no receive count", "another checksum"],
)
async def test_a_message_that_is_not_whole_is_a_transport_error(broken: dict[str, Any]) -> None:
    with pytest.raises(Retryable):
        await queue(Sqs(WHOLE, broken)).receive(20)


async def test_batches_are_of_ten_and_failures_are_named() -> None:
    sqs = Sqs()
    held = [delivery(f"m{n}") for n in range(11)]
    assert await queue(sqs).delete(held) == [held[1]]
    assert [len(call["Entries"]) for call in sqs.calls] == [10, 1]


async def test_what_is_buried_keeps_its_body_and_reason_in_a_group_of_its_own() -> None:
    sqs = Sqs()
    await queue(sqs).bury(Delivery("m1", "r", "p3", "body", 9), "r" * 600)
    (call,) = sqs.calls
    assert (call["QueueUrl"], call["MessageBody"], call["MessageGroupId"]) == ("dead", "body", "m1")
    assert call["MessageDeduplicationId"] == "m1"
    said = {name: each["StringValue"] for name, each in call["MessageAttributes"].items()}
    assert said == {"reason": "r" * 500, "receives": "9"}


@pytest.mark.parametrize(("attributes", "most"), [({"RedrivePolicy": '{"maxReceiveCount":"7"}'}, 7), ({}, None)])
async def test_a_queue_says_after_how_many_receives_it_gives_up(attributes: dict[str, str], most: int | None) -> None:
    class Described(Sqs):
        async def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
            return {"Attributes": attributes} if attributes else {}

    assert await most_receives(cast(Any, Described()), "url") == most
