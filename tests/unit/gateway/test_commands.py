"""Single commands over ASGI: what is asked for, what is sent, what is answered."""

import asyncio
import json
from typing import Any

import pytest

from events.ids import Version, derived_id
from events.outcome import Outcome, Status
from gateway.command_queue import Sent
from tests.unit.gateway.fakes import World, until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
APPLIED = Outcome(Status.APPLIED, Version(3))


def rejected(reason: str) -> Outcome:
    return Outcome(Status.REJECTED, Version(2), reason, "because")


async def waiting(gateway: World, path: str, body: Any, outcome: Outcome, **headers: str) -> Any:
    """Post with `Prefer: wait`, and tell the outcome once the command is in the queue."""
    post = asyncio.create_task(gateway.post(path, body, {"prefer": "wait=5", **headers}))
    await until(lambda: gateway.queue.taken)
    gateway.notices.tell(gateway.queue.taken[0], outcome)
    return await post


async def test_a_comment_is_accepted(gateway: World) -> None:
    answer = await gateway.post("/pictures/p1/comments", {"text": "hello"}, {"headrace-actor": "ann", "idempotency-key": "k1"})
    assert answer.status_code == 202
    (command,) = gateway.queue.taken
    ident = derived_id("", "ann", "k1")
    assert (command.name, command.id, command.actor, command.stream) == ("comment.create", "k1", "ann", f"comment-{ident}")
    assert bytes(command.data) == b'{"comment_id":"%s","picture_id":"p1","text":"hello"}' % ident.encode()
    url = f"/commands/k1?stream=comment-{ident}&actor=ann"
    assert answer.json() == {"command_id": "k1", "stream": command.stream, "status": "pending", "status_url": url}
    assert answer.headers["location"] == url
    assert gateway.memory.entries == {(command.stream, "k1"): {"ann": None}}


async def test_without_a_key_the_gateway_makes_one(gateway: World) -> None:
    first = (await gateway.post("/pictures/p1/comments", {"text": "x"})).json()
    second = (await gateway.post("/pictures/p1/comments", {"text": "x"})).json()
    assert len(first["command_id"]) == 32
    assert first["command_id"] != second["command_id"]
    assert first["stream"] != second["stream"]
    assert "actor" not in first["status_url"]


async def test_the_doors_agree_on_what_a_command_is(gateway: World) -> None:
    await gateway.post("/pictures/p/comments", {"text": "x", "comment_id": "c"})
    await gateway.post("/commands", {"name": "comment.create", "data": {"text": "x", "comment_id": "c", "picture_id": "p"}})
    await gateway.post("/commands", {"data": {"picture_id": "p", "comment_id": "c", "text": "x"}, "name": "comment.create"})
    assert len({each.fingerprint for each in gateway.queue.taken}) == 1
    assert len({bytes(each.data) for each in gateway.queue.taken}) == 1


async def test_what_a_status_url_names_is_escaped(gateway: World) -> None:
    answer = await gateway.post("/pictures/p/comments", {"text": "x", "comment_id": "c"}, {"idempotency-key": "a:b~c"})
    assert answer.json()["status_url"] == "/commands/a%3Ab~c?stream=comment-c"
    assert (await gateway.client.get(answer.headers["location"])).json()["command_id"] == "a:b~c"


async def test_update_and_delete(gateway: World) -> None:
    update = await gateway.client.patch("/comments/c1", json={"text": "new"}, headers={"if-match": '"4"', "traceparent": TRACE})
    delete = await gateway.client.delete("/comments/c1")
    assert (update.status_code, delete.status_code) == (202, 202)
    one, other = gateway.queue.taken
    assert (one.name, one.expected_version, one.correlation_id, one.traceparent) == ("comment.update", 4, TRACE[3:35], TRACE)
    assert (other.name, bytes(other.data), other.correlation_id) == ("comment.delete", b'{"comment_id":"c1"}', "")


async def test_a_create_that_is_waited_for(gateway: World) -> None:
    answer = await waiting(gateway, "/pictures/p1/comments", {"text": "x", "comment_id": "c9"}, Outcome(Status.APPLIED, Version(1)))
    assert answer.status_code == 201
    assert answer.headers["location"] == "/comments/c9"
    assert (answer.headers["headrace-token"], answer.headers["etag"]) == ("comment-c9@1", '"1"')
    assert answer.headers["preference-applied"] == "wait=5"
    body = answer.json()
    assert (body["status"], body["version"], body["token"]) == ("applied", 1, "comment-c9@1")


async def test_a_command_that_is_waited_for(gateway: World) -> None:
    answer = await waiting(gateway, "/commands", {"name": "comment.update", "data": {"comment_id": "c", "text": "x"}}, APPLIED)
    assert (answer.status_code, answer.json()["version"]) == (200, 3)
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("comment_deleted", 422),
        ("not_the_author", 422),
        ("a_domain_of_yours_says_so", 422),
        ("version_conflict", 412),
        ("command_id_reused", 409),
        ("too_large", 413),
        ("malformed", 400),
        ("unknown_command", 400),
    ],
)
async def test_a_refusal_that_is_waited_for(gateway: World, reason: str, status: int) -> None:
    body = {"name": "comment.delete", "data": {"comment_id": "c"}, "id": "k"}
    answer = await waiting(gateway, "/commands", body, rejected(reason))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"], problem["outcome"], problem["reason"]) == (reason, status, "rejected", reason)
    assert (problem["command_id"], problem["stream"], problem["version"]) == ("k", "comment-c", 2)
    assert problem["correlation_id"] == "k"


async def test_a_failure_that_is_waited_for(gateway: World) -> None:
    failed = Outcome(Status.FAILED, Version(0), "decider_failed", "the domain's rules failed: KeyError")
    answer = await waiting(gateway, "/commands", {"name": "comment.delete", "data": {"comment_id": "c"}}, failed)
    assert (answer.status_code, answer.json()["code"], answer.json()["reason"]) == (500, "failed", "decider_failed")


async def test_not_known_in_time_is_pending(gateway: World) -> None:
    answer = await gateway.post("/pictures/p/comments", {"text": "x"}, {"prefer": "respond-async, wait=1"})
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert answer.headers["location"] == answer.json()["status_url"]


@pytest.mark.parametrize(
    ("header", "applied"),
    [
        ("wait=1", "1"),
        ('Wait = "1"; foo', "1"),
        ("respond-async, wait=1, wait=20", "1"),
        ("foo;wait=5", None),
        ('foo="a, wait=5"', None),
        ("wait", None),
        ("wait=soon, wait=-1", None),
        ('foo="' + ";" * 20_000, None),
    ],
)
async def test_preferences_are_read_as_rfc_7240_says(gateway: World, header: str, applied: str | None) -> None:
    answer = await gateway.post("/pictures/p/comments", {"text": "x"}, {"prefer": header})
    assert answer.headers.get("preference-applied") == (f"wait={applied}" if applied else None)


async def test_at_the_end_of_a_wait_the_gateway_looks_for_itself(gateway: World) -> None:
    post = asyncio.create_task(gateway.client.delete("/comments/c", headers={"prefer": "wait=1", "idempotency-key": "k"}))
    await until(lambda: gateway.queue.taken)
    gateway.memory.keep(gateway.queue.taken[0], APPLIED)
    assert (await post).json()["version"] == 3


async def test_without_redis_commands_are_still_accepted(gateway: World) -> None:
    gateway.memory.away = True
    answer = await gateway.post("/pictures/p/comments", {"text": "x"}, {"idempotency-key": "k"})
    assert answer.status_code == 202


async def test_what_sqs_does_not_take_is_not_accepted(gateway: World) -> None:
    gateway.queue.decide = lambda messages: [Sent.NEVER] * len(messages)
    answer = await gateway.post("/pictures/p/comments", {"text": "x"})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_full_buffer_says_so(gateway: World) -> None:
    gateway.queue.open.clear()
    line = json.dumps({"name": "comment.create", "data": {"picture_id": "p", "text": "\U0001f600" * 10_000}}, ensure_ascii=False)
    batch = "\n".join([line] * 400).encode()
    headers = {"content-type": "application/x-ndjson"}
    filling = [asyncio.ensure_future(gateway.client.post("/commands/batch", content=batch, headers=headers)) for _ in range(5)]
    await until(lambda: gateway.gateway.sender.waiting_bytes >= 32 * 1024 * 1024 - 50_000)
    answer = await gateway.post("/pictures/p/comments", {"text": "\U0001f600" * 10_000})
    assert (answer.status_code, answer.json()["code"]) == (503, "buffer_full")
    assert int(answer.headers["retry-after"]) >= 1
    gateway.queue.open.set()
    receipts = [json.loads(text) for each in await asyncio.gather(*filling) for text in each.text.splitlines()]
    assert {each["status"] for each in receipts} == {"pending"}
    assert len(receipts) == 2000


async def test_a_problem_names_its_trace(gateway: World) -> None:
    answer = await gateway.post("/commands", {}, {"traceparent": TRACE})
    assert answer.json()["correlation_id"] == TRACE[3:35]


NAMED = {"name": "comment.delete", "data": {"comment_id": "c"}}


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        ({"name": "comment.explode", "data": {}}, {}, "unknown_command"),
        (NAMED | {"data": {"comment_id": "c", "role": "admin"}}, {}, "malformed"),
        (NAMED | {"data": {}}, {}, "malformed"),
        (NAMED | {"data": []}, {}, "malformed"),
        (NAMED | {"data": {"comment_id": "a b"}}, {}, "malformed"),
        (NAMED | {"data": {"comment_id": "x" * 129}}, {}, "malformed"),
        (NAMED | {"tenant": "t"}, {}, "malformed"),
        (NAMED | {"id": ""}, {}, "malformed"),
        (NAMED | {"id": "k1"}, {"idempotency-key": "k2"}, "malformed"),
        (NAMED | {"stream": "comment-d"}, {}, "malformed"),
        (NAMED | {"expected_version": -1}, {}, "limit"),
        (NAMED | {"expected_version": 1.0}, {}, "malformed"),
        (NAMED | {"expected_version": True}, {}, "malformed"),
        (NAMED | {"expected_version": 2**63}, {}, "malformed"),
        (NAMED | {"expected_version": 1}, {"if-match": '"2"'}, "malformed"),
        (NAMED, {"if-match": "2"}, "malformed"),
        (NAMED, {"if-match": 'W/"2"'}, "malformed"),
        (NAMED, {"if-match": '"9223372036854775808"'}, "malformed"),
        (NAMED, {"idempotency-key": "x" * 10_000}, "malformed"),
        (NAMED, {"idempotency-key": "a b"}, "malformed"),
        (NAMED, {"headrace-actor": "a/b"}, "malformed"),
        ({"name": "comment.create", "data": {"picture_id": "p", "text": ""}}, {}, "limit"),
        ({"name": "comment.create", "data": {"picture_id": "p", "text": "x" * 10_001}}, {}, "limit"),
    ],
)
async def test_what_is_wrong_with_a_command(gateway: World, body: Any, headers: dict[str, str], code: str) -> None:
    answer = await gateway.post("/commands", body, headers)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert gateway.queue.calls == []


@pytest.mark.parametrize("same", [{"id": "k"}, {"stream": "comment-c"}, {"expected_version": 2}])
async def test_saying_the_same_thing_twice_is_fine(gateway: World, same: dict[str, Any]) -> None:
    answer = await gateway.post("/commands", NAMED | same, {"idempotency-key": "k", "if-match": '"2"'})
    assert answer.status_code == 202
    assert gateway.queue.taken[0].expected_version == 2


@pytest.mark.parametrize(
    "path",
    [
        "/pictures/%20/comments",
        "/pictures/a%2Fb/comments",
        "/pictures/..%2F/comments",
        "/pictures/%00/comments",
        "/pictures/%C3%A9/comments",
        "/pictures/e%CC%81/comments",
        "/pictures/x%0A/comments",
        "/pictures//comments",
        f"/pictures/{'x' * 129}/comments",
    ],
)
async def test_ids_in_the_path(gateway: World, path: str) -> None:
    answer = await gateway.post(path, {"text": "x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
