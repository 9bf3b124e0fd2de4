"""An id that comes again: answered as the first time, as long as that is remembered."""

import asyncio
import json
from typing import Any

import pytest

from events.ids import Version
from events.outcome import Outcome, Status
from tests.unit.gateway.fakes import World, until

PATH, KEY, WAIT = "/pictures/p/comments", {"idempotency-key": "k"}, {"prefer": "wait=5"}
BODY = {"text": "one", "comment_id": "c"}
CREATED = Outcome(Status.APPLIED, Version(1))
UNCHANGED = Outcome(Status.APPLIED, Version(4), no_effect=True)
REFUSED = Outcome(Status.REJECTED, Version(4), "not_the_author", "only the author updates or deletes a comment")
FAILED = Outcome(Status.FAILED, Version(4), "decider_failed", "the domain's rules failed: KeyError")


async def posted_and_kept(gateway: World, outcome: Outcome) -> None:
    assert (await gateway.post(PATH, BODY, KEY)).status_code == 202
    gateway.memory.keep(gateway.queue.taken[0], outcome)


async def test_the_same_id_for_another_command_is_refused_at_once(gateway: World) -> None:
    assert (await gateway.post(PATH, BODY, KEY)).status_code == 202
    assert (await gateway.post(PATH, BODY, KEY)).status_code == 202
    answer = await gateway.post(PATH, BODY | {"text": "two"}, KEY)
    assert (answer.status_code, answer.json()["code"]) == (409, "command_id_reused")
    assert answer.json()["status_url"] == "/commands/k?stream=comment-c"
    assert len(gateway.queue.taken) == 2
    other = await gateway.post(PATH, BODY | {"text": "two"}, KEY | {"headrace-actor": "bob"})
    assert other.status_code == 202


@pytest.mark.parametrize(("outcome", "status"), [(CREATED, 201), (UNCHANGED, 201), (REFUSED, 422), (FAILED, 500)])
async def test_what_is_remembered_is_answered_and_not_sent_again(gateway: World, outcome: Outcome, status: int) -> None:
    await posted_and_kept(gateway, outcome)
    again = await gateway.post(PATH, BODY, KEY | WAIT)
    assert (again.status_code, again.json()["version"]) == (status, outcome.version)
    assert again.headers["preference-applied"] == "wait=5"
    assert len(gateway.queue.taken) == 1


async def test_who_would_not_wait_gets_the_receipt_of_the_first_time(gateway: World) -> None:
    await posted_and_kept(gateway, REFUSED)
    again = await gateway.post(PATH, BODY, KEY)
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    assert (await gateway.client.get(again.headers["location"])).json()["reason"] == "not_the_author"
    assert len(gateway.queue.taken) == 1


async def test_the_expected_version_is_no_part_of_what_is_asked_for(gateway: World) -> None:
    await posted_and_kept(gateway, REFUSED)
    again = await gateway.post(PATH, BODY, KEY | WAIT | {"if-match": '"9"'})
    assert again.json()["code"] == "not_the_author"


async def test_what_is_remembered_of_another_command_is_not_answered(gateway: World) -> None:
    """Its claim has run out, what it came to has not."""
    await posted_and_kept(gateway, REFUSED)
    gateway.memory.claims.clear()
    post = asyncio.create_task(gateway.post(PATH, BODY | {"text": "two"}, KEY | {"prefer": "wait=1"}))
    await until(lambda: len(gateway.queue.taken) == 2)
    assert (await post).status_code == 202


async def test_a_repeat_says_so_on_its_way(gateway: World) -> None:
    for _ in range(2):
        await gateway.post(PATH, BODY, KEY)
    await gateway.post(PATH, {"text": "another"}, {"idempotency-key": "other"})
    assert [each.repeat for each in gateway.queue.taken] == [False, True, False]


async def test_in_a_batch(gateway: World) -> None:
    await posted_and_kept(gateway, REFUSED)
    data = {"picture_id": "p", "text": "one", "comment_id": "c"}
    lines: list[Any] = [
        {"name": "comment.create", "data": data, "id": "k"},
        {"name": "comment.create", "data": data | {"comment_id": "d"}, "id": "d"},
        {"name": "comment.create", "data": data | {"comment_id": "d"}, "id": "d"},
        {"name": "comment.create", "data": data | {"text": "two"}, "id": "k"},
        {"name": "comment.explode", "data": {}, "id": "named"},
        {"name": "comment.create", "data": data, "id": "white space"},
    ]
    for wait, first in (({"prefer": "wait=1"}, "rejected"), ({}, "pending")):
        text = "\n".join(map(json.dumps, lines)).encode()
        headers = {"content-type": "application/x-ndjson", **wait}
        answer = await gateway.client.post("/commands/batch", content=text, headers=headers)
        receipts = [json.loads(line) for line in answer.text.splitlines()]
        assert [each["status"] for each in receipts] == [first, "pending", "pending", "refused", "refused", "refused"]
        assert [each.get("command_id") for each in receipts] == ["k", "d", "d", "k", "named", None]
        assert receipts[3]["status_url"] == "/commands/k?stream=comment-c"
    assert [each.repeat for each in gateway.queue.taken[1:]] == [False, True, True, True]
