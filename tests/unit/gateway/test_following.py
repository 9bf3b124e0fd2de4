"""A gateway and the stack's number of partitions: when it takes commands, and under which number."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from events.ids import partition_of
from events.parcel import read_commands
from gateway.following import HELD_INTERVAL_SECONDS, INTERVAL_SECONDS, READ_SECONDS, Follower
from gateway.parcelling import Held
from gateway.sender import Sender
from runtime.changing import unmarked
from runtime.errors import ConfigurationError
from runtime.stack import Changing, Seen
from tests.support.fake_facts import FakeFacts
from tests.support.virtual_time import run_virtually
from tests.unit.gateway.fakes import FakeQueue
from tests.unit.gateway.test_sender import Marks, prepared

MARK = Changing(7, "somebody", 1, 30.0)
A_LITTLE = 0.01


@asynccontextmanager
async def followed(facts: FakeFacts, queue: FakeQueue | None = None, told: int | None = None) -> AsyncIterator[Sender]:
    """A sender whose follower runs; its clock is the loop's."""
    sender = Sender(queue or FakeQueue(), facts.stack.partitions, Marks())
    follower = Follower(facts, sender, told, asyncio.get_running_loop().time)
    await follower.begin()
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


@pytest.mark.parametrize("changing", [MARK, msgspec.UNSET], ids=["marked", "unmarked"])
def test_a_gateway_that_begins_takes_nothing_until_it_has_read_the_facts(changing: Changing | msgspec.UnsetType) -> None:
    async def main() -> None:
        facts = FakeFacts(16, changing)
        facts.away = True
        async with followed(facts) as sender:
            await asyncio.sleep(2 * INTERVAL_SECONDS)
            with pytest.raises(Held):
                sender.add(prepared(1))
            facts.away = False
            await asyncio.sleep(HELD_INTERVAL_SECONDS + A_LITTLE)
            assert sender.held == (changing is MARK)
            facts.put(unmarked(facts.stack))
            await asyncio.sleep(HELD_INTERVAL_SECONDS + A_LITTLE)
            await sender.add(prepared(1))

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
