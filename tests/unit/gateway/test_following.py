"""A gateway and the stack's number of partitions: when it takes commands, and under which number."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest

from events.ids import partition_of
from events.parcel import read_commands
from gateway import following
from gateway.command_queue import Message, Sent
from gateway.following import HELD_INTERVAL_SECONDS, INTERVAL_SECONDS, READ_SECONDS, STILL_SECONDS, Follower
from gateway.outcomes import Outcomes
from gateway.parcelling import BufferFull, Held
from gateway.sender import DEADLINE_SECONDS, NotSent, Sender
from runtime import lifecycle
from runtime.changing import unmarked
from runtime.errors import ConfigurationError
from runtime.stack import Changing, Seen
from tests.support.fake_facts import FakeFacts
from tests.support.virtual_time import run_virtually
from tests.unit.gateway.fakes import FakeQueue, world
from tests.unit.gateway.test_sender import Marks, prepared

MARK = Changing(7, "somebody", 1, 30.0)
A_LITTLE = 0.01


@asynccontextmanager
async def followed(facts: FakeFacts, queue: FakeQueue | None = None, told: int | None = None) -> AsyncIterator[Sender]:
    """A sender whose follower runs; its clock is the loop's."""
    sender = Sender(queue or FakeQueue(), facts.stack.partitions, Marks())
    follower = Follower(facts, sender, told, asyncio.get_running_loop().time)
    await follower.look()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each.run()) for each in (sender, follower)]
        yield sender
        for task in running:
            task.cancel()


def mark(facts: FakeFacts, changing: Changing = MARK) -> None:
    facts.put(msgspec.structs.replace(facts.stack, changing=changing))


def write(facts: FakeFacts, partitions: int) -> None:
    facts.put(msgspec.structs.replace(unmarked(facts.stack), partitions=partitions))


def test_a_mark_stops_the_taking_of_commands_and_its_end_lets_it_go_on() -> None:
    async def main() -> None:
        facts = FakeFacts(16)
        async with followed(facts) as sender:
            await sender.add(prepared(1))
            mark(facts)
            await sender.add(prepared(2))  # it was not read yet
            await asyncio.sleep(INTERVAL_SECONDS + A_LITTLE)
            with pytest.raises(Held):
                sender.add(prepared(3))
            facts.put(unmarked(facts.stack))
            await asyncio.sleep(HELD_INTERVAL_SECONDS + A_LITTLE)
            await sender.add(prepared(3))
            assert sender.partitions == 16

    run_virtually(main())


def test_under_the_new_number_parcels_say_so_and_lie_in_its_groups() -> None:
    async def main() -> None:
        facts, queue = FakeFacts(16), FakeQueue()
        async with followed(facts, queue) as sender:
            mark(facts)
            await asyncio.sleep(INTERVAL_SECONDS + A_LITTLE)
            write(facts, 7)
            await asyncio.sleep(HELD_INTERVAL_SECONDS + A_LITTLE)
            await asyncio.gather(*(sender.add(prepared(n, f"comment-{n}")) for n in range(40)))
        parcels = [(message.partition, read_commands(message.body)) for call in queue.calls for message in call]
        assert {parcel.partitions for _, parcel in parcels} == {7}
        for partition, parcel in parcels:
            assert {partition_of(each.stream, 7) for each in parcel.commands} == {parcel.partition} == {partition}

    run_virtually(main())


def test_a_new_number_waits_until_what_was_taken_under_the_old_is_gone() -> None:
    async def main() -> None:
        facts, queue = FakeFacts(16), FakeQueue()
        queue.open.clear()
        async with followed(facts, queue) as sender:
            taken = sender.add(prepared(1))
            write(facts, 7)  # this gateway never saw the mark
            await asyncio.sleep(INTERVAL_SECONDS + 2 * HELD_INTERVAL_SECONDS)
            with pytest.raises(Held):
                sender.add(prepared(2))
            assert sender.partitions == 16
            queue.open.set()
            await taken
            await asyncio.sleep(HELD_INTERVAL_SECONDS + A_LITTLE)
            await sender.add(prepared(2))
            assert sender.partitions == 7

    run_virtually(main())


def test_a_mark_that_stands_still_is_taken_away_after_its_time_and_not_before() -> None:
    async def main() -> None:
        facts = FakeFacts(16)
        mark(facts)
        async with followed(facts) as sender:
            began = asyncio.get_running_loop().time()
            while sender.held:
                assert facts.stack.changing == MARK
                await asyncio.sleep(0.1)
            assert MARK.seconds <= asyncio.get_running_loop().time() - began <= MARK.seconds + HELD_INTERVAL_SECONDS + 0.2
            assert facts.stack.changing is msgspec.UNSET
            await sender.add(prepared(1))

    run_virtually(main())


def test_a_mark_that_moves_counts_for_ever() -> None:
    async def main() -> None:
        facts = FakeFacts(16)
        mark(facts)
        async with followed(facts) as sender:
            for beat in range(2, 20):
                await asyncio.sleep(MARK.seconds - HELD_INTERVAL_SECONDS - A_LITTLE)
                mark(facts, msgspec.structs.replace(MARK, beat=beat))
                assert sender.held
            assert facts.written == []

    run_virtually(main())


def test_a_mark_that_moved_since_it_was_read_stays() -> None:
    async def main() -> None:
        class Moving(FakeFacts):
            async def read(self) -> Seen | None:
                seen = await super().read()
                if self.reads > 1 and seen is not None and seen.stack.changing == MARK and loop.time() > began + MARK.seconds:
                    mark(self, msgspec.structs.replace(MARK, beat=2))
                return seen

        loop = asyncio.get_running_loop()
        began = loop.time()
        facts = Moving(16)
        mark(facts)
        async with followed(facts) as sender:
            await asyncio.sleep(MARK.seconds + 3 * HELD_INTERVAL_SECONDS)
            assert sender.held
            assert facts.written == []

    run_virtually(main())


@pytest.mark.parametrize("slow", [False, True])
def test_a_gateway_that_cannot_read_goes_on_as_it_last_knew(slow: bool) -> None:
    class Slow(FakeFacts):
        async def read(self) -> Seen | None:
            if self.away:
                await asyncio.sleep(3600)
            return await super().read()

    async def main() -> None:
        facts = Slow(16) if slow else FakeFacts(16)
        async with followed(facts) as sender:
            facts.away = True
            mark(facts)
            await asyncio.sleep(3 * (INTERVAL_SECONDS + READ_SECONDS))
            await sender.add(prepared(1))
            facts.away = False
            await asyncio.sleep(INTERVAL_SECONDS + READ_SECONDS + A_LITTLE)
            assert sender.held
            facts.away = True
            await asyncio.sleep(10 * MARK.seconds)
            assert sender.held  # what it knows is that a change is under way

    run_virtually(main())


def test_a_gateway_that_was_told_another_number_ends_when_it_has_sent_what_it_took() -> None:
    async def main() -> None:
        facts, queue = FakeFacts(16), FakeQueue(delay=INTERVAL_SECONDS + 1)
        taken: list[asyncio.Future[None]] = []

        async def until_ended() -> None:
            async with followed(facts, queue, told=16) as sender:
                taken.append(sender.add(prepared(1)))
                write(facts, 7)
                await asyncio.sleep(3600)

        with pytest.raises(ExceptionGroup) as ended:
            await until_ended()
        assert ended.group_contains(ConfigurationError, match="HEADRACE_PARTITIONS: 16, but the stack has 7")
        assert taken[0].done()
        assert not taken[0].cancelled()

    run_virtually(main())


@pytest.mark.parametrize("late", range(9))
@pytest.mark.parametrize("reading", [0.0, READ_SECONDS - A_LITTLE])
def test_nothing_is_sent_any_more_when_the_gateways_must_be_still(late: int, reading: float) -> None:
    """Whenever the mark is written, however slow readings and calls are, whatever waits in the buffer."""

    class Slow(FakeFacts):
        async def read(self) -> Seen | None:
            seen = await super().read()
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
