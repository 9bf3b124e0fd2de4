"""The Python client follows a scripted feed: cut anywhere, it goes on behind what it has."""

import json
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calling import feed
from gateway.calling.events import MAX_BLOCK, Blocks
from gateway.client import Change, Client, NotOurs, Refused, Unavailable
from tests.support.scripted_gateway import SILENCE, Reply, answer, scripted, whole

OPENING = b"retry: 2000\nid: 7-0-0\n\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between connections of no length."""
    monkeypatch.setattr(feed, "backoff", lambda attempt, spread, first: 0.001)  # noqa: ARG005


def event(number: int, name: str = "comment.created") -> bytes:
    data = json.dumps({"stream": "comment-1", "version": number, "name": name, "data": {"n": number}, "more": "later"}).encode()
    return b"id: 7-1-%d\nevent: %s\ndata: %s\n\n" % (number, name.encode(), data)


def stream(*blocks: bytes, ends: bool = False) -> Reply:
    """A chunked answer; without an end the connection is cut."""
    body = b"".join(blocks)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    return lambda _: head + b"%x\r\n%s\r\n" % (len(body), body) + (b"0\r\n\r\n" if ends else b"")


async def take(client: Client, many: int, **asked: str) -> list[Change]:
    found = []
    async with aclosing(client.changes(**asked)) as changes:
        async for change in changes:
            found.append(change)
            if len(found) == many:
                return found
    raise AssertionError("it ended")


async def test_it_goes_on_behind_what_it_has() -> None:
    cut = stream(OPENING, event(1), event(2), event(3)[:-20])
    quiet = stream(OPENING, b":\nid: 9-0-0\n\n", ends=True)
    async with scripted(cut, answer(503, {}), quiet, always=stream(event(4))) as gateway, Client(gateway.url) as client:
        found = await take(client, 3, picture_id="p 1")
    assert [(each.id, each.version, each.data) for each in found] == [(f"7-1-{n}", n, {"n": n}) for n in (1, 2, 4)]
    paths = [asked.path for asked in gateway.asked]
    assert paths == ["/events?picture_id=p+1", *["/events?picture_id=p+1&since=7-1-2"] * 2, "/events?picture_id=p+1&since=9-0-0"]


async def test_what_was_missed_is_told() -> None:
    missed = b'id: 8-0-0\nevent: reset\ndata: {"detail":"x"}\n\n'
    async with scripted(always=stream(missed, event(1))) as gateway, Client(gateway.url) as client:
        found = await take(client, 2, since="1-1-1")
    assert (found[0], found[1].name) == (Change("8-0-0", "reset"), "comment.created")


async def test_a_no_is_raised_and_a_silence_comes_to_an_end() -> None:
    async with scripted(always=answer(400, {"code": "malformed", "detail": "since"})) as gateway, Client(gateway.url) as client:
        with pytest.raises(Refused, match="since"):
            await take(client, 1, since="x")
        assert len(gateway.asked) == 1
    async with scripted(always=lambda _: SILENCE) as gateway, Client(gateway.url, deadline=0.2) as client:
        with pytest.raises(Unavailable):
            await take(client, 1)
    async with scripted(always=lambda _: whole(200, b"data: 7\n\n")) as gateway, Client(gateway.url) as client:
        with pytest.raises(NotOurs):
            await take(client, 1)
    async with scripted(always=lambda _: b"who are you\r\n\r\n") as gateway, Client(gateway.url) as client:
        with pytest.raises(NotOurs):
            await take(client, 1)


@given(st.lists(st.integers(1, 9), max_size=6), st.data())
def test_pieces_of_any_size_are_the_same_events(numbers: list[int], data: st.DataObject) -> None:
    text = OPENING + b"".join(event(number) + b":\nid: 8-0-0\n\n" for number in numbers)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    blocks = Blocks()
    found = [block for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True) for block in blocks.feed(text[start:end])]
    assert [block.id for block in found] == [f"7-1-{number}" for number in numbers]
    assert blocks.last_id == ("8-0-0" if numbers else "7-0-0")


def test_an_event_without_an_end_is_given_up() -> None:
    blocks = Blocks()
    with pytest.raises(NotOurs):
        list(blocks.feed(b"data: " + b"x" * MAX_BLOCK))
