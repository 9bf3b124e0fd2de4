"""Queries: how they are asked, held and answered."""

from typing import Any

import pytest

from events.ids import StreamId, Token, Version
from gateway.comments.queries import DEFAULT_HOLD
from readmodel.answers import CommentPage, CommentView, PictureView
from readmodel.errors import NotYet, ReadsUnavailable, StreamParked, TokenBeyondStore
from readmodel.holds import Hold
from readmodel.pages import Cursor, Page, encode_cursor
from runtime.times import Micros
from tests.unit.gateway.fakes import World
from tests.unit.gateway.test_status import STREAM, create, stored

VIEW = CommentView("c", "p", "ann", "x", 3, "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z")
TOKEN = Token(StreamId("comment-c"), Version(3))


async def test_a_comment(gateway: World) -> None:
    gateway.reads.value = VIEW
    answer = await gateway.client.get("/comments/c", params={"after": str(TOKEN), "wait": "99"})
    assert answer.json()["text"] == "x"
    assert {"headrace-source": "cache", "headrace-token": "comment-c@3", "etag": '"3"'}.items() <= dict(answer.headers).items()
    assert gateway.reads.asked == [("c", Hold((TOKEN,), 10.0))]


async def test_a_comment_that_is_not_there(gateway: World) -> None:
    answer = await gateway.client.get("/comments/c")
    assert (answer.status_code, answer.json()["code"], answer.headers["headrace-source"]) == (404, "not_found", "cache")


async def test_a_picture(gateway: World) -> None:
    gateway.reads.value, gateway.reads.source, gateway.reads.version = PictureView("p", 0, None), "database", 7
    answer = await gateway.client.get("/pictures/p")
    assert answer.json() == {"picture_id": "p", "comment_count": 0, "last_commented_at": None}
    assert (answer.headers["headrace-source"], answer.headers["etag"]) == ("database", '"7"')
    assert gateway.reads.asked == [("p", Hold((), DEFAULT_HOLD))]


async def test_pages_of_comments(gateway: World) -> None:
    gateway.reads.value = CommentPage([VIEW], "next")
    cursor = Cursor(Micros(1), "c", newest=False)
    text = encode_cursor(cursor, "p")
    answer = await gateway.client.get("/pictures/p/comments", params={"limit": "2", "cursor": text, "order": "oldest"})
    assert answer.json()["next_cursor"] == "next"
    await gateway.client.get("/pictures/p/comments", params={"cursor": text})
    await gateway.client.get("/pictures/p/comments")
    assert [page for _, page, _ in gateway.reads.asked] == [Page(2, False, cursor), Page(50, False, cursor), Page(50, True, None)]


@pytest.mark.parametrize(
    ("wrong", "status", "code", "later"),
    [
        (NotYet(), 503, "not_yet", True),
        (StreamParked(), 503, "stream_parked", True),
        (ReadsUnavailable(), 503, "unavailable", True),
        (TokenBeyondStore("comment-c"), 400, "token_beyond_store", False),
        (KeyError("secret"), 500, "internal", False),
    ],
)
async def test_why_there_is_no_answer(gateway: World, wrong: Exception, status: int, code: str, later: bool) -> None:
    gateway.reads.wrong = wrong
    answer = await gateway.client.get("/comments/c")
    assert (answer.status_code, answer.json()["code"], "retry-after" in answer.headers) == (status, code, later)
    assert "secret" not in answer.text


LIST = "/pictures/p/comments"


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        (LIST, {"limit": "0"}, "limit"),
        (LIST, {"limit": "-1"}, "limit"),
        (LIST, {"limit": "101"}, "limit"),
        (LIST, {"limit": "1000000000"}, "limit"),
        (LIST, {"limit": "1.0"}, "limit"),
        (LIST, {"limit": ""}, "limit"),
        (LIST, {"limit": "\N{ARABIC-INDIC DIGIT ONE}"}, "limit"),
        (LIST, {"limit": ["1", "2"]}, "malformed"),
        (LIST, {"order": "random"}, "malformed"),
        (LIST, {"cursor": "forged"}, "malformed"),
        (LIST, {"cursor": ""}, "malformed"),
        (LIST, {"cursor": encode_cursor(Cursor(Micros(1), "c", newest=True), "q")}, "malformed"),
        (LIST, {"cursor": encode_cursor(Cursor(Micros(1), "c", newest=True), "p"), "order": "oldest"}, "malformed"),
        ("/comments/c", {"after": "comment-c@9223372036854775808"}, "malformed"),
        ("/comments/c", {"after": "comment-c"}, "malformed"),
        ("/comments/c", {"after": "comment-c@01"}, "malformed"),
        ("/comments/c", {"after": "x@1"}, "malformed"),
        ("/comments/c", {"after": [f"comment-{n}@1" for n in range(101)]}, "limit"),
        ("/comments/c", {"wait": "soon"}, "malformed"),
        ("/comments/c", {"wait": "-1"}, "malformed"),
        ("/comments/c", {"wait": ["1", "2"]}, "malformed"),
        ("/comments/c", {"nothing": "1"}, "malformed"),
        ("/comments/c", {"version": "x"}, "malformed"),
        ("/comments/c", {"version": "1", "at": "2026-01-01T00:00:00Z"}, "malformed"),
        ("/comments/c", {"at": "yesterday"}, "malformed"),
        ("/comments/c", {"at": "2026-01-01T00:00:00"}, "malformed"),
        ("/comments/c", {"at": "0000-01-01T00:00:00Z"}, "malformed"),
        ("/comments/c", {"at": "9999-12-31T24:00:00Z"}, "malformed"),
        ("/comments/c", {"at": "2026-06-30T23:59:60Z"}, "malformed"),
        ("/comments/a%20b", {}, "malformed"),
        ("/pictures/%00", {}, "malformed"),
    ],
)
async def test_what_is_wrong_with_a_question(gateway: World, path: str, params: dict[str, Any], code: str) -> None:
    answer = await gateway.client.get(path, params=params or None)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert gateway.reads.asked == []


@pytest.mark.parametrize("query", ["after=%ff", "a=1&&b=2", "=", "wait", "after=comment-c@1&x=%zz", "&".join(["after=comment-c@1"] * 200)])
async def test_queries_that_are_no_queries(gateway: World, query: str) -> None:
    assert (await gateway.client.get(f"/comments/c?{query}")).status_code == 400


async def test_the_past_of_a_comment(gateway: World) -> None:
    await create(gateway)
    await stored(gateway)
    answer = await gateway.client.get("/comments/c", params={"version": "1"})
    assert (answer.status_code, answer.json()["text"], answer.headers["headrace-source"]) == (200, "x", "events")
    assert answer.headers["headrace-token"] == "comment-c@1"
    for version in ("0", "-1", "2", "9" * 30):
        assert (await gateway.client.get("/comments/c", params={"version": version})).status_code == 404
    assert (await gateway.client.get("/comments/c", params={"at": "2000-01-01T00:00:00Z"})).status_code == 404
    now = await gateway.client.get("/comments/c", params={"at": "2999-01-01T00:00:00+01:00"})
    assert now.json() == answer.json()


async def test_the_history_of_a_comment(gateway: World) -> None:
    assert (await gateway.client.get("/comments/c/history")).status_code == 404
    await create(gateway)
    await stored(gateway)
    answer = await gateway.client.get("/comments/c/history", params={"after": "comment-c@1"})
    (event,) = answer.json()["events"]
    assert (event["version"], event["name"], event["actor"], event["command_id"]) == (1, "comment.created", "anonymous", "k")
    beyond = await gateway.client.get("/comments/c/history", params={"after": f"{STREAM}@2"})
    assert (beyond.status_code, beyond.json()["code"]) == (400, "token_beyond_store")
