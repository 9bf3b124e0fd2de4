"""Calls, their failures and their repetitions."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
from msgspec import Raw

from events.envelope import Command
from events.ids import CommandId, Fingerprint, StreamId, partition_of
from events.parcel import encode_command
from gateway import sender as sender_module
from gateway.command_queue import CommandQueue, Message, Sent
from gateway.preparing import Prepared
from gateway.sender import NotSent, Sender, Stalled
from runtime.aws import AwsRefused, AwsUnavailable
from runtime.times import Micros
from tests.unit.gateway.fakes import FakeQueue, until


def prepared(number: int, stream: str = "comment-1") -> Prepared:
    command = Command(CommandId(f"c{number}"), "comment.delete", StreamId(stream), Raw(b"{}"), Fingerprint("f"), Micros(number))
    return Prepared(command, encode_command(command), key_given=False)


class Marks:
    """Keeps what was marked; can be made to wait."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, accepted: Sequence[Prepared]) -> None:
        await self.open.wait()
        self.ids += [each.command.id for each in accepted]


@asynccontextmanager
async def running(
    queue: CommandQueue,
    marks: Marks | None = None,
    partitions: int = 4,
    deadline: float = 10,
) -> AsyncIterator[Sender]:
    sender = Sender(queue, partitions, marks or Marks(), deadline)
    task = asyncio.create_task(sender.run())
    try:
        yield sender
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_confirmed_means_sqs_and_the_mark() -> None:
    queue, marks = FakeQueue(), Marks()
    marks.open.clear()
    async with running(queue, marks) as sender:
        confirmed = sender.add(prepared(1))
        await until(lambda: queue.taken)
        assert not confirmed.done()
        marks.open.set()
        await confirmed
        assert marks.ids == ["c1"]
        await sender.drained()


async def test_commands_of_a_stream_leave_in_order_one_parcel_at_a_time() -> None:
    queue = FakeQueue()
    queue.open.clear()
    async with running(queue) as sender:
        first = sender.add(prepared(0))
        await until(lambda: queue.calls)
        rest = [sender.add(prepared(number)) for number in range(1, 500)]
        await asyncio.sleep(0)
        assert len(queue.calls) == 1
        queue.open.set()
        await asyncio.gather(first, *rest)
    assert [each.id for each in queue.taken] == [f"c{number}" for number in range(500)]


async def test_a_failed_entry_is_sent_again_as_it_was_and_before_anything_later() -> None:
    queue = FakeQueue()
    failed: list[Message] = []

    def fail_the_first(messages: Sequence[Message]) -> list[Sent]:
        if not failed:
            failed.append(messages[0])
            return [Sent.AGAIN, *[Sent.YES] * (len(messages) - 1)]
        return [Sent.YES] * len(messages)

    queue.decide = fail_the_first
    async with running(queue) as sender:
        others = [f"comment-{number}" for number in range(40)]
        waits = [sender.add(prepared(number, stream)) for number, stream in enumerate(others)]
        await until(lambda: failed)
        waits += [sender.add(prepared(100 + number, stream)) for number, stream in enumerate(others)]
        await asyncio.gather(*waits)
    again = [message for call in queue.calls[1:] for message in call if message.dedup == failed[0].dedup]
    assert again == [failed[0]]
    for number in range(40):
        ids = [each.id for each in queue.taken if each.stream == f"comment-{number}"]
        assert ids == [f"c{number}", f"c{100 + number}"]


async def test_a_call_without_an_answer_is_repeated_with_the_same_ids() -> None:
    class Flaky(FakeQueue):
        async def send(self, messages: Sequence[Message]) -> list[Sent]:
            if len(self.calls) < 2:
                self.calls.append(list(messages))
                raise AwsUnavailable("no answer")
            return await super().send(messages)

    queue = Flaky()
    async with running(queue) as sender:
        await sender.add(prepared(1))
    assert len(queue.calls) == 3
    assert len({message.dedup for call in queue.calls for message in call}) == 1


@pytest.mark.parametrize("how", ["entry", "call"])
async def test_what_is_given_up_takes_everything_behind_it_along(how: str) -> None:
    class Refusing(FakeQueue):
        async def send(self, messages: Sequence[Message]) -> list[Sent]:
            self.calls.append(list(messages))
            await self.open.wait()
            if how == "call":
                raise AwsRefused("NonExistentQueue", "gone")
            return [Sent.NEVER] * len(messages)

    queue = Refusing()
    queue.open.clear()
    async with running(queue) as sender:
        first = sender.add(prepared(1))
        await until(lambda: queue.calls)
        behind = [sender.add(prepared(number)) for number in range(2, 5)]
        queue.open.set()
        results = await asyncio.gather(first, *behind, return_exceptions=True)
        await sender.drained()
    assert [type(each) for each in results] == [NotSent] * 4
    assert len(queue.calls) == 1


async def test_a_parcel_is_given_up_after_its_deadline() -> None:
    queue = FakeQueue()
    queue.decide = lambda messages: [Sent.AGAIN] * len(messages)
    async with running(queue, deadline=0.2) as sender:
        with pytest.raises(NotSent):
            await sender.add(prepared(1))
    assert len(queue.calls) > 1


async def test_while_sqs_confirms_nothing_no_more_is_taken_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "STALLED_SECONDS", 0.05)
    queue = FakeQueue()
    queue.open.clear()
    async with running(queue) as sender:
        held = sender.add(prepared(1))
        async with asyncio.timeout(5):
            while True:
                try:
                    late = sender.add(prepared(2))
                except Stalled:
                    break
                await asyncio.sleep(0.01)
        queue.open.set()
        await asyncio.gather(held, late)
        await sender.add(prepared(3))


async def test_quiet_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "STALLED_SECONDS", 0.02)
    async with running(FakeQueue()) as sender:
        await sender.add(prepared(1))
        await asyncio.sleep(0.05)  # the time that would be a stall
        await sender.add(prepared(2))


async def test_a_gone_caller_changes_nothing_for_others() -> None:
    queue = FakeQueue()
    queue.open.clear()
    async with running(queue) as sender:
        gone, stays = sender.add(prepared(1)), sender.add(prepared(2))
        gone.cancel()
        queue.open.set()
        await stays
    assert [each.id for each in queue.taken] == ["c1", "c2"]


async def test_few_calls_carry_many_commands() -> None:
    queue = FakeQueue(delay=0.003)
    posts = 2000
    async with running(queue, partitions=16) as sender:
        numbers = iter(range(posts))

        async def caller() -> None:
            for number in numbers:
                await sender.add(prepared(number, f"comment-{number}"))

        await asyncio.gather(*(caller() for _ in range(256)))
    assert len(queue.taken) == posts
    assert len(queue.calls) <= 12 * posts / 1000 + 4  # the first few find the gateway idle


def test_the_envelope_is_what_workers_read() -> None:
    one = prepared(1)
    assert msgspec.json.decode(one.body, type=Command) == one.command
    assert 0 <= partition_of(one.command.stream, 4) < 4
