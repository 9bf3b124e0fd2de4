"""A gateway that takes no commands: how what it took ends, and what callers hear."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from gateway import following
from gateway.command_queue import Message, Sent
from gateway.following import READ_SECONDS, STILL_SECONDS
from gateway.outcomes import Outcomes
from gateway.parcelling import BufferFull, Held
from gateway.sender import DEADLINE_SECONDS, NotSent, Sender
from runtime import lifecycle
from runtime.changing import unmarked
from runtime.stack import Seen
from tests.support.fake_facts import FakeFacts
from tests.support.virtual_time import run_virtually
from tests.unit.gateway.fakes import FakeQueue, until, world
from tests.unit.gateway.test_following import A_LITTLE, MARK, followed, mark
from tests.unit.gateway.test_sender import Marks, prepared


@pytest.mark.parametrize("late", range(9))
@pytest.mark.parametrize("reading", [0.0, READ_SECONDS - A_LITTLE])
@pytest.mark.parametrize("failing", [0, 1])
def test_nothing_is_sent_any_more_when_the_gateways_must_be_still(late: int, reading: float, failing: int) -> None:
    """Whenever the mark is written, however slow readings and calls are, whatever waits in the buffer; one reading may fail."""

    class Slow(FakeFacts):
        left = failing

        async def read(self) -> Seen | None:
            seen = await super().read()
            if seen is not None and seen.stack.changing is not msgspec.UNSET and self.left:
                self.left -= 1
                await asyncio.sleep(3600)
            await asyncio.sleep(reading)
            return seen

    class Queue(FakeQueue):
        last = 0.0

        async def send(self, messages: Sequence[Message]) -> list[Sent]:
            try:
                await asyncio.sleep(4)
                return [Sent.AGAIN if number % 2 else Sent.YES for number in range(len(messages))]
            finally:
                self.last = asyncio.get_running_loop().time()

    async def main() -> None:
        facts, queue, loop = Slow(16), Queue(), asyncio.get_running_loop()
        taken: list[asyncio.Future[None]] = []

        async def post() -> None:
            for number in range(100_000):
                try:
                    taken.append(sender.add(prepared(number, f"comment-{number % 50}")))
                except Held:
                    return
                except BufferFull:
                    await asyncio.sleep(1)
                await asyncio.sleep(0.05)

        async with followed(facts, queue) as sender, asyncio.TaskGroup() as tasks:
            tasks.create_task(post())
            await asyncio.sleep(late)
            mark(facts)
            marked = loop.time()
            await asyncio.sleep(STILL_SECONDS)
            assert sender.empty
            assert facts.left == 0
            assert marked < queue.last <= marked + STILL_SECONDS
            results = await asyncio.gather(*taken, return_exceptions=True)
            assert {type(each) for each in results} <= {type(None), NotSent}

    run_virtually(main())


def test_what_was_taken_is_given_up_within_the_deadline() -> None:
    async def main() -> None:
        facts, queue = FakeFacts(1), FakeQueue(delay=DEADLINE_SECONDS - 1)
        async with followed(facts, queue) as sender:
            mark(facts)
            first = sender.add(prepared(1))
            await asyncio.sleep(A_LITTLE)
            behind = [sender.add(prepared(number)) for number in range(2, 5)]
            sender.hold()
            began = asyncio.get_running_loop().time()
            await sender.drained()
            assert asyncio.get_running_loop().time() - began <= DEADLINE_SECONDS + A_LITTLE
            assert first.done()
            assert not first.exception()
            assert {type(each.exception()) for each in behind} == {NotSent}

    run_virtually(main())


def test_what_comes_to_its_turn_after_the_deadline_is_not_sent_at_all() -> None:
    async def main() -> None:
        queue = FakeQueue()
        sender = Sender(queue, 1, Marks())
        taken = sender.add(prepared(1))
        sender.hold()
        await asyncio.sleep(DEADLINE_SECONDS)
        sending = asyncio.create_task(sender.run())
        await sender.drained()
        assert (type(taken.exception()), queue.calls) == (NotSent, [])
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    run_virtually(main())


def test_the_next_number_needs_an_empty_buffer() -> None:
    async def main() -> None:
        queue = FakeQueue(delay=1)
        async with followed(FakeFacts(16), queue) as sender:
            taken = sender.add(prepared(1))
            sender.hold()
            with pytest.raises(RuntimeError):
                sender.go_on(7)
            assert sender.partitions == 16
            await taken
            sender.go_on(7)
            assert (sender.partitions, sender.held) == (7, False)

    run_virtually(main())


async def test_callers_are_told_unavailable_and_when_to_come_again() -> None:
    async with world(facts=FakeFacts(4, MARK)) as gateway:  # it starts during a change
        answer = await gateway.post("/commands", {"name": "comment.delete", "data": {"comment_id": "1"}})
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "2")
        assert (await gateway.client.get("/healthz")).status_code == 200
        assert gateway.queue.calls == []


async def test_callers_are_told_so_too_until_the_facts_were_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "HELD_INTERVAL_SECONDS", 0.01)
    command = {"name": "comment.delete", "data": {"comment_id": "1"}}
    facts = FakeFacts(4)
    facts.away = True
    async with world(facts=facts) as gateway:
        answer = await gateway.post("/commands", command)
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "2")
        facts.away = False
        await until(lambda: not gateway.gateway.sender.held)
        assert (await gateway.post("/commands", command)).status_code == 202


async def test_a_batch_waits_for_the_end_of_a_change_and_is_refused_when_that_is_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "HELD_INTERVAL_SECONDS", 0.01)
    line = b'{"name": "comment.delete", "data": {"comment_id": "1"}}\n'
    headers = {"content-type": "application/x-ndjson"}
    facts = FakeFacts(4, MARK)
    async with world(facts=facts) as gateway:
        posting = asyncio.create_task(gateway.client.post("/commands/batch", content=line, headers=headers))
        await asyncio.sleep(0)
        facts.put(unmarked(facts.stack))
        assert [msgspec.json.decode(each)["status"] for each in (await posting).content.splitlines()] == ["pending"]
        gateway.gateway.sender.hold()
        facts.away = True
        gateway.gateway.batch.room_seconds = 0.05
        answer = await gateway.client.post("/commands/batch", content=line, headers=headers)
        (refused,) = [msgspec.json.decode(each) for each in answer.content.splitlines()]
        assert (refused["status"], refused["code"]) == ("refused", "unavailable")


async def test_a_gateway_ends_though_a_cancellation_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "CANCEL_SECONDS", 0.01)
    lost: list[int] = []

    async def deaf(self: Outcomes) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if lost:
                    raise
                lost.append(1)

    monkeypatch.setattr(Outcomes, "run", deaf)
    async with asyncio.timeout(10), world() as gateway:
        await gateway.client.get("/healthz")
    assert lost
