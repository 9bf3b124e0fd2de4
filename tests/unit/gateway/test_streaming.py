"""A batch that is read while it comes and answered while it is read, over real sockets and by hand."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from events.ids import Version
from events.outcome import Outcome, Status
from gateway.app import App
from gateway.batch_answers import AHEAD
from gateway.bounds import BOUNDS, Bounds
from gateway.lines import MAX_BATCH
from gateway.requests import MAX_BODY
from gateway.routing import Route
from gateway.server import serving
from tests.unit.gateway.fakes import World, until, world

HEAD = b"POST /commands/batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n"


def line(number: int, text: str = "x", **more: Any) -> bytes:
    data = {"picture_id": "p", "text": text, "comment_id": f"c{number}"}
    return json.dumps({"name": "comment.create", "data": data, **more}).encode() + b"\n"


class Conversation:
    """One connection on which a chunked batch is sent piece by piece."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._held = b""

    async def begin(self, *headers: bytes) -> None:
        self.writer.write(HEAD + b"transfer-encoding: chunked\r\n" + b"".join(each + b"\r\n" for each in headers) + b"\r\n")

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await self.writer.drain()

    async def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def head(self) -> bytes:
        async with asyncio.timeout(5):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def receipt(self) -> dict[str, Any] | None:
        """The next one; None at the end of the answer."""
        async with asyncio.timeout(10):
            while b"\n" not in self._held:
                size = int(await self.reader.readuntil(b"\r\n"), 16)
                self._held += (await self.reader.readexactly(size + 2))[:-2]
                if not size:
                    return None
        first, _, self._held = self._held.partition(b"\n")
        found: dict[str, Any] = json.loads(first)
        return found

    async def receipts(self) -> list[dict[str, Any]]:
        found = []
        while (receipt := await self.receipt()) is not None:
            found.append(receipt)
        return found


@asynccontextmanager
async def talking(made: World, bounds: Bounds = BOUNDS, read_seconds: float | None = None) -> AsyncIterator[Conversation]:
    app = made.gateway.app
    if read_seconds is not None:
        app = App([Route("POST", "/commands/batch", made.gateway.batch.post)], read_seconds=read_seconds)
    async with serving(app, ("127.0.0.1", 0), made.gateway.stopping, bounds) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield Conversation(reader, writer)
        finally:
            writer.transport.abort()


@pytest.fixture
async def made() -> AsyncIterator[World]:
    async with world() as made:
        yield made


@pytest.fixture
async def talk(made: World) -> AsyncIterator[Conversation]:
    async with talking(made) as talk:
        yield talk


async def test_lines_are_queued_and_answered_while_the_body_still_comes(made: World, talk: Conversation) -> None:
    await talk.begin()
    await talk.send(line(1), line(2)[:30])
    assert (await talk.head()).startswith(b"HTTP/1.1 200")
    first = await talk.receipt()
    assert first is not None
    assert first["stream"] == "comment-c1"
    assert [each.stream for each in made.queue.taken] == ["comment-c1"]
    await talk.send(line(2)[30:])
    await talk.end()
    assert [each["stream"] for each in await talk.receipts()] == ["comment-c2"]


async def test_no_more_is_read_than_what_waits_for_sqs_allows(made: World, talk: Conversation) -> None:
    """20,000,000 bytes of lines are offered; a few megabytes are taken until SQS takes them on."""
    made.queue.open.clear()
    await talk.begin()
    sent = 0

    async def offer() -> None:
        nonlocal sent
        for number in range(8_000):
            await talk.send(line(number, "x" * 1_500))
            sent += 1
        await talk.end()

    offering = asyncio.create_task(offer())
    await until(lambda: made.gateway.sender._plan.count >= AHEAD)
    held = -1
    while held != sent:  # until the sockets are full and nothing moves any more
        held = sent
        await asyncio.sleep(0.2)
    assert made.gateway.sender._plan.count < AHEAD + 400
    assert sent < 8_000
    made.queue.open.set()
    await talk.head()
    receipts = await talk.receipts()
    await offering
    assert [each["stream"] for each in receipts] == [f"comment-c{number}" for number in range(8_000)]


async def test_a_caller_that_sends_all_before_it_reads_does_not_wait_for_itself(made: World, talk: Conversation) -> None:
    await talk.begin()
    async with asyncio.timeout(20):
        for start in range(0, 10_000, 100):
            await talk.send(b"".join(line(number, "x" * 200) for number in range(start, start + 100)))
        await talk.end()
        await until(lambda: len(made.queue.taken) == 10_000)  # all of it, though not a byte of the answer was read
    await talk.head()
    assert len(await talk.receipts()) == 10_000


async def test_a_body_beyond_16_mib_is_refused_from_there_line_by_line(talk: Conversation) -> None:
    await talk.begin()
    text = line(1, "x" * 10_000)
    whole = MAX_BATCH // len(text)

    async def send() -> None:
        for _ in range(whole + 3):
            await talk.send(text)
        await talk.send(b"{")
        await talk.end()

    sending = asyncio.create_task(send())
    await talk.head()
    receipts = await talk.receipts()
    await sending
    assert [each["status"] for each in receipts] == ["pending"] * whole + ["refused"] * 4
    assert [(each["code"], each["line"]) for each in receipts[whole:]] == [("too_large", whole + 1 + more) for more in range(4)]


async def test_lines_without_end_are_counted_and_not_kept(talk: Conversation) -> None:
    """Two million refused lines are one number here, and the reading stops at twice the limit."""
    await talk.begin()
    await talk.send(line(1))

    async def send() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await talk.send(b"x" * 500_000)

    sending = asyncio.create_task(send())
    await talk.head()
    receipts = await talk.receipts()
    sending.cancel()
    assert [(each["status"], each.get("code")) for each in receipts] == [("pending", None), ("refused", "too_large")]


async def test_a_line_over_its_limit_is_refused_alone_however_it_comes(talk: Conversation) -> None:
    await talk.begin()
    await talk.send(line(1), *[b"x" * 50_000] * 6, b"\n" + line(2) + b"x" * (MAX_BODY + 1) + b"\n" + line(3))
    await talk.end()
    await talk.head()
    assert [each.get("code") for each in await talk.receipts()] == [None, "too_large", None, "too_large", None]


async def test_a_body_that_stops_coming_is_answered_as_far_as_it_came(made: World) -> None:
    async with talking(made, read_seconds=0.3) as talk:
        await talk.begin()
        await talk.send(line(1) + line(2) + b'{"name"')
        await talk.head()
        receipts = await talk.receipts()
    assert [each["status"] for each in receipts] == ["pending", "pending", "refused"]
    assert (receipts[2]["code"], receipts[2]["line"]) == ("request_timeout", 3)


async def test_a_body_without_a_first_line_is_too_slow_as_any_other(made: World) -> None:
    async with talking(made, read_seconds=0.1) as talk:
        await talk.begin()
        await talk.send(b'{"name"')
        assert (await talk.head()).startswith(b"HTTP/1.1 408")


async def test_time_in_which_nobody_asked_makes_no_body_slow(made: World) -> None:
    async with talking(made, read_seconds=0.3) as talk:
        made.queue.open.clear()
        await talk.begin()
        sending = asyncio.create_task(talk.send(*[line(number, "x" * 200) for number in range(2 * AHEAD)]))
        await until(lambda: made.gateway.sender._plan.count >= AHEAD)
        await asyncio.sleep(0.5)  # longer than a body may keep us waiting
        made.queue.open.set()
        await sending
        await talk.end()
        await talk.head()
        assert {each["status"] for each in await talk.receipts()} == {"pending"}


async def test_who_goes_away_leaves_nothing_behind(made: World, talk: Conversation) -> None:
    made.queue.open.clear()
    await talk.begin(b"prefer: wait=30")
    await talk.send(line(1), line(2))
    await until(lambda: made.gateway.outcomes.waiting == 2)
    talk.writer.transport.abort()
    await until(lambda: made.gateway.outcomes.waiting == 0)
    assert not made.gateway.batch._coming
    made.queue.open.set()
    await until(lambda: len(made.queue.taken) == 2)


async def test_who_goes_away_after_its_last_line_leaves_nothing_behind(made: World, talk: Conversation) -> None:
    await talk.begin(b"prefer: wait=30")
    await talk.send(line(1))
    await talk.end()
    await until(lambda: len(made.queue.taken) == 1)
    talk.writer.transport.abort()
    await until(lambda: made.gateway.outcomes.waiting == 0)


async def test_who_never_reads_is_ended(made: World) -> None:
    async with talking(made, Bounds(write_seconds=0.2)) as talk:
        await talk.begin()
        for _ in range(20):
            await talk.send(b"\n" * 50_000)
        await talk.end()
        await until(lambda: not made.gateway.batch._coming)


async def test_outcomes_are_told_while_the_body_still_comes(made: World, talk: Conversation) -> None:
    await talk.begin(b"prefer: wait=30")
    await talk.send(line(1))
    await until(lambda: len(made.queue.taken) == 1)
    made.notices.tell(made.queue.taken[0], Outcome(Status.APPLIED, Version(1)))
    assert b"preference-applied: wait=30" in await talk.head()
    receipt = await talk.receipt()
    assert receipt is not None
    assert receipt["token"] == "comment-c1@1"


async def test_a_stop_answers_what_came_and_refuses_the_rest(made: World, talk: Conversation) -> None:
    await talk.begin()
    await talk.send(line(1))
    await talk.head()
    await until(lambda: len(made.queue.taken) == 1)
    made.gateway.batch.stop(0.05)
    receipts = await talk.receipts()
    assert [each["status"] for each in receipts] == ["pending", "refused"]
    assert (receipts[1]["code"], receipts[1]["line"]) == ("unavailable", 2)


async def test_a_full_buffer_slows_a_batch_down_and_refuses_it_after_a_while(made: World, talk: Conversation) -> None:
    made.queue.open.clear()
    made.gateway.batch.room_seconds = 0.1
    made.gateway.sender._plan.count += 100_000 - 2  # as many wait of others
    made.gateway.sender._heard = asyncio.get_running_loop().time()
    await talk.begin()
    await talk.send(line(1) + line(2) + line(3))
    await talk.end()
    await until(lambda: not made.gateway.batch._coming or made.gateway.sender._plan.count == 100_000)
    await asyncio.sleep(0.2)
    made.queue.open.set()
    await talk.head()
    receipts = await talk.receipts()
    assert [(each["status"], each.get("code")) for each in receipts] == [("pending", None), ("pending", None), ("refused", "buffer_full")]
