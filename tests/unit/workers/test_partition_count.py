"""A worker that lives through a change of the number of partitions."""

from typing import cast

import pytest

from events.ids import Partition, partition_of
from events.memory_store import MemoryStore
from events.outcome import Notice, Status
from events.parcel import encode_command, pack_commands, read_commands
from headrace.dead.opening import again
from runtime.metrics import PARTITIONS_OTHER
from runtime.times import Micros
from tests.support.fake_facts import Away, FakeFacts
from tests.support.group_model import Told
from tests.support.said import REGISTRY, create, said
from tests.support.scripted_queue import ScriptedQueue
from workers.command_worker import CommandWorker
from workers.dead_letters import DeadLetter
from workers.partition_count import AGAIN_SECONDS, PartitionCount
from workers.queue import Delivery
from workers.telling import Teller
from workers.trials import Trials


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Buried(ScriptedQueue):
    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[str] = []

    async def bury_body(self, body: str, once: str, reason: str, receives: int | None = None) -> None:  # noqa: ARG002 - the queue's shape
        self.bodies.append(body)


class Working:
    """A worker of a stack that has `now` partitions, and was read when it had 16."""

    def __init__(self, now: int) -> None:
        self.facts, self.clock, self.queue, self.told = FakeFacts(now), Clock(), Buried(), Told()
        self.count = PartitionCount(16, self.facts, self.clock)
        told = (self.queue, cast(Teller, self.told), cast(Trials, None))
        self.worker = CommandWorker(MemoryStore(), REGISTRY, self.count, told)

    async def take(self, number: int, packed: int, *, says: bool = True) -> tuple[list[Notice], list[str]]:
        """What is told of one parcel packed under so many partitions, and what is poison of it."""
        stream = f"comment-{number}"
        partition = partition_of(stream, packed)
        body = pack_commands(partition, [encode_command(create(str(number)))], packed if says else 0)
        self.told.begin()
        handled = await self.worker.handle([Delivery(f"m{number}", "r", f"p{partition}", body, 1)])
        return self.told.notices, [reason for _, reason in handled.poison]


def strangers() -> float:
    return float(PARTITIONS_OTHER._value.get())


def differing(*counts: int) -> int:
    """A comment that lies in another partition under each number."""
    return next(n for n in range(1000) if len({partition_of(f"comment-{n}", count) for count in counts}) == len(counts))


@pytest.mark.parametrize("says", [True, False])
async def test_a_new_number_is_read_when_the_first_parcel_of_it_comes(says: bool) -> None:
    working, before = Working(7), strangers()
    notices, poison = await working.take(differing(7, 16), 7, says=says)
    assert ([each.outcome.status for each in notices], poison) == ([Status.APPLIED], [])
    assert (working.count.now, working.facts.reads, strangers()) == (7, 1, before)
    await working.take(differing(7, 16) + 1, 7)
    assert working.facts.reads == 1


async def test_a_parcel_of_before_is_decided_all_the_same_and_counted() -> None:
    working, before = Working(7), strangers()
    working.count.now = 7
    for number in range(20):
        notices, poison = await working.take(number, 16)
        assert ([each.outcome.status for each in notices], poison) == ([Status.APPLIED], [])
    assert strangers() == before + 20
    assert working.facts.reads == 1  # not one a batch
    working.clock.now += AGAIN_SECONDS
    await working.take(20, 16)
    assert working.facts.reads == 2


async def test_a_parcel_that_fits_no_number_known_is_poison_only_once_the_number_is_known() -> None:
    working = Working(7)
    working.facts.away = True
    with pytest.raises(Away):
        await working.take(differing(5, 7, 16), 5, says=False)
    working.facts.away = False
    _, poison = await working.take(differing(5, 7, 16), 5, says=False)
    assert len(poison) == 1


async def test_what_is_set_aside_singly_says_under_which_number_it_was_packed() -> None:
    working = Working(7)
    working.count.now = 7
    unknown = said("nothing.known", {}, stream="nothing-1")
    partition = partition_of("nothing-1", 7)
    working.told.begin()
    await working.worker.handle([Delivery("m", "r", f"p{partition}", pack_commands(partition, [encode_command(unknown)], 7), 1)])
    (body,) = working.queue.bodies
    parcel = read_commands(body)
    assert (parcel.partition, parcel.partitions) == (Partition(partition), 7)


def test_what_is_redriven_is_packed_under_the_number_of_today() -> None:
    streams = [create(str(number)) for number in range(20)]
    letter = DeadLetter("m", "r", "g", pack_commands(Partition(0), [encode_command(each) for each in streams], 1), "", Micros(0))
    sent = again(letter, 7)
    assert set(sent) == {f"p{partition_of(each.stream, 7)}" for each in streams}
    for group, body in sent.items():
        parcel = read_commands(body)
        assert (f"p{parcel.partition}", parcel.partitions) == (group, 7)
        assert {partition_of(each.stream, 7) for each in parcel.commands} == {parcel.partition}
