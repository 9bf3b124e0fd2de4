"""The Python client against a scripted server on a real socket."""

import asyncio
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calling import repeating
from gateway.client import Client, NotOurs, Receipt, Refused, Session, Unavailable
from runtime.errors import ConfigurationError, Fatal, Rejected, Retryable
from tests.support.scripted_gateway import SILENCE, Asked, answer, receipt, scripted, whole

APPLIED = {"command_id": "k", "stream": "comment-1", "status": "applied", "status_url": "/x", "version": 3, "token": "comment-1@3"}
BUSY = answer(503, {"code": "buffer_full"}, retry_after="0")
COMMENT = {
    "comment_id": "1", "picture_id": "p", "author": "a", "text": "t", "version": 3, "created_at": "x", "updated_at": "y", "more": "later"
}  # fmt: skip


def cut(_: Asked) -> bytes:
    return b""


def half(asked: Asked) -> bytes:
    return receipt(asked)[:-10] + b""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts of no length."""
    monkeypatch.setattr(repeating, "backoff", lambda attempt, spread: 0.001)  # noqa: ARG005


async def test_a_post_says_who_and_what_and_keeps_the_connection() -> None:
    async with scripted() as gateway, Client(gateway.url, actor="billing", authorization="Bearer x") as client:
        first = await client.post("comment.delete", {"comment_id": "1"}, command_id="k", expected_version=4)
        await client.create_comment("p", "hello", wait=2)
    assert (first.command_id, first.status) == ("k", "pending")
    one, two = gateway.asked
    assert json.loads(one.body) == {"name": "comment.delete", "data": {"comment_id": "1"}, "id": "k", "expected_version": 4}
    assert (one.headers["headrace-actor"], one.headers["authorization"]) == ("billing", "Bearer x")
    assert "prefer" not in one.headers
    assert two.headers["prefer"] == "wait=2"
    assert gateway.connections == 1


@pytest.mark.parametrize("trouble", [BUSY, answer(429, {}), answer(502, "bad gateway"), cut])
async def test_what_was_not_answered_is_sent_again_under_the_same_id(trouble: Callable[[Asked], bytes]) -> None:
    async with scripted(trouble, trouble) as gateway, Client(gateway.url) as client:
        found = await client.post("comment.create", {"picture_id": "p", "text": "t"})
    ids = {json.loads(asked.body)["id"] for asked in gateway.asked}
    assert len(gateway.asked) == 3
    assert ids == {found.command_id}


async def test_an_answer_cut_in_the_middle_is_none() -> None:
    async with scripted(half, always=receipt) as gateway, Client(gateway.url) as client:
        gateway.script[0] = lambda asked: receipt(asked).replace(b"content-length", b"connection: close\r\ncontent-length")[:-10]
        assert (await client.post("x", {})).status == "pending"
    assert len(gateway.asked) == 2


async def test_the_gateway_says_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []

    async def sleep(seconds: float) -> None:
        paused.append(seconds)

    monkeypatch.setattr("gateway.calling.repeating.asyncio.sleep", sleep)
    async with scripted(answer(503, {"code": "unavailable"}, retry_after="7")) as gateway, Client(gateway.url) as client:
        await client.post("x", {})
    assert paused == [7.0]


async def test_by_the_deadline_the_caller_hears_which_command_it_was() -> None:
    async with scripted(always=BUSY) as gateway, Client(gateway.url, deadline=1.0) as client:
        with pytest.raises(Unavailable, match=r"buffer_full|in time") as heard:
            await client.post("x", {}, command_id="mine")
    assert heard.value.command_id == "mine"
    assert isinstance(heard.value, Retryable)
    assert len(gateway.asked) >= 2


async def test_a_gateway_that_says_nothing_costs_the_deadline_only() -> None:
    async with scripted(always=lambda _: SILENCE) as gateway, Client(gateway.url, deadline=0.05) as client:
        with pytest.raises(Unavailable, match="in time"):
            await client.post("x", {})


async def test_nothing_listens() -> None:
    async with scripted() as gateway:
        url = gateway.url
    async with Client(url, deadline=0.05) as client:
        with pytest.raises(Unavailable):
            await client.post("x", {})


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (422, {"code": "comment_deleted", "detail": "it is gone", "outcome": "rejected", "version": 4}, "comment_deleted"),
        (409, {"code": "command_id_reused", "title": "used before"}, "command_id_reused"),
        (503, {"code": "stream_parked"}, "stream_parked"),
    ],
)
async def test_a_no_is_raised_at_once(status: int, body: dict[str, object], reason: str) -> None:
    async with scripted(always=answer(status, body)) as gateway, Client(gateway.url) as client:
        with pytest.raises(Refused) as heard:
            await client.post("x", {})
    assert (heard.value.reason, heard.value.status, len(gateway.asked)) == (reason, status, 1)
    assert isinstance(heard.value, Rejected)


@pytest.mark.parametrize("body", [b"<html>", b'{"command_id": 7}', b""])
async def test_what_is_no_gateway_of_ours_is_fatal(body: bytes) -> None:
    async with scripted(always=lambda _: whole(200, body)) as gateway, Client(gateway.url) as client:
        with pytest.raises(NotOurs) as heard:
            await client.post("x", {})
    assert isinstance(heard.value, Fatal)


async def test_what_is_not_even_http_is_fatal() -> None:
    async with scripted(always=lambda _: b"220 smtp ready\r\n\r\n") as gateway, Client(gateway.url) as client:
        with pytest.raises(NotOurs):
            await client.post("x", {})


async def test_a_connection_that_was_closed_while_idle_is_not_noticed() -> None:
    bye = lambda asked: receipt(asked).replace(b"content-length", b"connection: close\r\ncontent-length", 1)  # noqa: E731
    async with scripted(bye) as gateway, Client(gateway.url) as client:
        await client.post("x", {})
        await client.post("x", {})
    assert gateway.connections == 2


async def test_a_cancelled_post_leaves_no_connection_with_half_an_exchange() -> None:
    async with scripted(lambda _: SILENCE) as gateway, Client(gateway.url, connections=1) as client:
        post = asyncio.create_task(client.post("x", {}))
        await gateway.held.wait()
        post.cancel()
        await asyncio.gather(post, return_exceptions=True)
        assert (await client.post("x", {}, command_id="next")).command_id == "next"
    assert gateway.connections == 2


async def test_no_more_connections_than_asked_for() -> None:
    async with scripted() as gateway, Client(gateway.url, connections=3) as client:
        await asyncio.gather(*(client.post("x", {}) for _ in range(50)))
    assert gateway.connections == 3


async def test_closing_ends_a_connection_with_its_request() -> None:
    async with scripted() as gateway:
        client = Client(gateway.url)
        post = asyncio.create_task(client.post("x", {}))
        await asyncio.sleep(0)
        client.close()
        await post
        assert client._pool._idle == []


async def test_an_outcome_is_asked_for_until_it_is_known() -> None:
    still = answer(200, {"command_id": "k", "stream": "comment-1", "status": "pending"})
    done = answer(200, {"command_id": "k", "stream": "comment-1", "status": "rejected", "reason": "comment_deleted", "version": 2})
    async with scripted(still, done) as gateway, Client(gateway.url) as client:
        found = await client.outcome(Receipt("k", "comment-1", status_url="/commands/k?stream=comment-1"))
    assert (found.status, found.reason, found.status_url) == ("rejected", "comment_deleted", "/commands/k?stream=comment-1")
    assert [asked.path for asked in gateway.asked] == ["/commands/k?stream=comment-1&wait=30"] * 2


async def test_reads_of_a_session_are_held_to_its_writes() -> None:
    applied = answer(200, APPLIED)
    script = (answer(202, APPLIED | {"status": "pending", "token": None}), applied, answer(200, COMMENT))
    async with scripted(*script) as gateway, Client(gateway.url) as client:
        session = client.session()
        await session.post("comment.update", {"comment_id": "1", "text": "t"})
        found = await session.comment("1")
    assert found is not None
    assert found.version == 3
    assert gateway.asked[2].path == "/comments/1?after=comment-1%403&wait=10"


async def test_pages_are_read_one_after_the_other() -> None:
    first = answer(200, {"comments": [COMMENT, COMMENT], "next_cursor": "abc"})
    async with scripted(first, answer(200, {"comments": [COMMENT], "next_cursor": None})) as gateway, Client(gateway.url) as client:
        assert len([each async for each in client.comments("p q", order="oldest")]) == 3
    assert [asked.path for asked in gateway.asked] == [
        "/pictures/p%20q/comments?limit=100&order=oldest",
        "/pictures/p%20q/comments?limit=100&order=oldest&cursor=abc",
    ]


async def test_what_is_not_there_is_none() -> None:
    async with scripted(always=answer(404, {"code": "not_found"})) as gateway, Client(gateway.url) as client:
        assert await client.comment("1") is None


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://x", "http://"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Client(url)


def test_a_header_is_one_line() -> None:
    with pytest.raises(ValueError, match="one line"):
        Client("http://x", actor="a\r\nx: y")


@given(st.lists(st.tuples(st.sampled_from(["comment-a", "comment-b", "t/comment-c"]), st.integers(1, 9))))
def test_a_session_keeps_the_highest_version_of_each_stream(told: list[tuple[str, int]]) -> None:
    session = Session(Client("http://x"))
    for stream, version in told:
        session.note(f"{stream}@{version}")
    highest = {stream: max(version for other, version in told if other == stream) for stream, _ in told}
    assert {stream: int(version) for stream, _, version in (token.rpartition("@") for token in session.tokens)} == highest
