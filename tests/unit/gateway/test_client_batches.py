"""Batches of the Python client against a scripted server on a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from gateway.calling import repeating
from gateway.client import Client, Command, NotOurs, Unavailable
from tests.support.scripted_gateway import Asked, answer, receipt, scripted, whole


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts of no length."""
    monkeypatch.setattr(repeating, "backoff", lambda attempt, spread: 0.001)  # noqa: ARG005


async def numbered(count: int) -> AsyncIterator[Command]:
    for number in range(count):
        yield Command("comment.create", {"text": f"{number}"}, f"c{number}")


async def test_ten_thousand_commands_are_requests_one_after_the_other() -> None:
    async with scripted() as gateway, Client(gateway.url) as client:
        found = [each.command_id async for each in client.batch(numbered(10_000))]
    assert found == [f"c{number}" for number in range(10_000)]
    assert max(len(asked.lines()) for asked in gateway.asked) == 500
    assert gateway.connections == 1


async def test_only_one_request_is_read_ahead() -> None:
    """Memory stays that of one request, however long the stream."""
    taken = 0

    async def endless() -> AsyncIterator[Command]:
        nonlocal taken
        while True:
            taken += 1
            yield Command("x", {"text": "y" * 10_000})

    async with scripted() as gateway, Client(gateway.url) as client:
        receipts = client.batch(endless())
        for _ in range(3):
            await anext(receipts)
    assert len(gateway.asked) == 1
    assert taken <= 110


async def test_what_a_slow_source_gave_leaves_though_more_may_come() -> None:
    more = asyncio.Event()

    async def slow() -> AsyncIterator[Command]:
        yield Command("x", {}, "c1")
        yield Command("x", {}, "c2")
        await more.wait()
        yield Command("x", {}, "c3")

    async with scripted() as gateway, Client(gateway.url) as client:
        receipts = client.batch(slow())
        async with asyncio.timeout(5):
            assert [(await anext(receipts)).command_id for _ in range(2)] == ["c1", "c2"]
        more.set()
        assert [each.command_id async for each in receipts] == ["c3"]
    assert [len(asked.lines()) for asked in gateway.asked] == [2, 1]


async def test_lines_that_were_not_taken_are_sent_again_in_their_order() -> None:
    def most(asked: Asked) -> bytes:
        lines = receipt(asked).partition(b"\r\n\r\n")[2].splitlines()
        for place in (1, 3):
            lines[place] = json.dumps({"status": "refused", "code": "buffer_full", "line": place + 1}).encode()
        lines[4] = json.dumps({"status": "refused", "code": "malformed", "line": 5, "detail": "no"}).encode()
        return whole(200, b"\n".join(lines) + b"\n")

    async with scripted(most) as gateway, Client(gateway.url) as client:
        found = [each async for each in client.batch([Command("x", {}, f"c{number}") for number in range(6)])]
    assert [line["id"] for line in gateway.asked[1].lines()] == ["c1", "c3"]
    assert [each.status for each in found] == ["pending"] * 4 + ["refused", "pending"]
    assert (found[4].code, found[4].line, found[3].command_id) == ("malformed", 5, "c3")


async def test_a_batch_whose_answer_was_lost_is_sent_again_whole() -> None:
    async with scripted(lambda _: b"") as gateway, Client(gateway.url) as client:
        found = [each async for each in client.batch([Command("x", {}), Command("x", {})])]
    assert [line["id"] for line in gateway.asked[0].lines()] == [line["id"] for line in gateway.asked[1].lines()]
    assert len({each.command_id for each in found}) == 2


async def test_a_batch_ends_by_the_clients_deadline_with_the_id_of_the_first_command_without_a_receipt() -> None:
    def all_but(asked: Asked) -> bytes:
        taken = receipt(asked).partition(b"\r\n\r\n")[2].splitlines()
        refused = json.dumps({"status": "refused", "code": "buffer_full"}).encode()
        return whole(200, b"\n".join(refused if b"c2" in line else line for line in taken) + b"\n")

    async with scripted(always=all_but) as gateway, Client(gateway.url, deadline=0.8) as client, asyncio.timeout(10):
        receipts = client.batch([Command("x", {}, f"c{number}") for number in range(5)])
        assert [(await anext(receipts)).command_id for _ in range(2)] == ["c0", "c1"]
        with pytest.raises(Unavailable, match=r"buffer_full|in time") as heard:
            await anext(receipts)
    assert heard.value.command_id == "c2"
    assert {line["id"] for asked in gateway.asked[1:] for line in asked.lines()} == {"c2"}


async def test_a_batch_answered_by_too_few_receipts_is_not_believed() -> None:
    async with scripted(answer(200, {"status": "pending"})) as gateway, Client(gateway.url) as client:
        with pytest.raises(NotOurs, match="2 commands"):
            await anext(client.batch([Command("x", {}), Command("x", {})]))
