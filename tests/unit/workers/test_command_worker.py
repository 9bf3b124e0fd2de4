"""What the command worker does around its decisions: notes of trials are forgotten after the work, and never in its way."""

from typing import cast

import pytest

from events.ids import Partition
from events.memory_store import MemoryStore
from events.parcel import encode_command, pack_commands
from runtime.errors import Retryable
from runtime.metrics import REDRIVEN
from tests.support.group_model import Told
from tests.support.said import REGISTRY, create, update
from workers.command_worker import CommandWorker
from workers.partition_count import PartitionCount
from workers.queue import Delivery, Queue
from workers.telling import Teller
from workers.trials import Trial


class NotesAway(Retryable):
    """The control table does not answer."""


class Notes:
    def __init__(self) -> None:
        self.kept: dict[str, Trial] = {}
        self.tried: list[str] = []
        self.away = False

    async def read(self, message_id: str) -> Trial:
        return self.kept.get(message_id, Trial())

    async def write(self, message_id: str, trial: Trial) -> None:
        self.kept[message_id] = trial

    async def forget(self, message_id: str) -> None:
        self.tried.append(message_id)
        if self.away:
            raise NotesAway
        del self.kept[message_id]


def message(ident: str, receives: int) -> Delivery:
    return Delivery(ident, "r", "p0", pack_commands(Partition(0), [encode_command(create(ident))]), receives)


@pytest.mark.parametrize("away", [False, True])
async def test_a_note_is_forgotten_after_its_message_is_gone_and_never_in_the_way(away: bool) -> None:
    notes, told = Notes(), Told()
    told.begin()
    worker = CommandWorker(MemoryStore(), REGISTRY, PartitionCount(1), (cast(Queue, None), cast(Teller, told), notes))
    suspect = message("suspect", 3)
    handled = await worker.handle([suspect])
    assert (handled.done, list(notes.kept), notes.tried) == ([suspect], ["suspect"], [])
    assert handled.deleted is not None
    handled.deleted([suspect])
    notes.away = away
    usual = [message("next", 1), message("behind", 1)]
    assert [(await worker.handle([each])).done for each in usual] == [[each] for each in usual]
    assert (list(notes.kept), notes.tried) == (["suspect"] if away else [], ["suspect"])


async def test_what_becomes_of_redriven_commands_is_counted() -> None:
    told = Told()
    told.begin()
    worker = CommandWorker(MemoryStore(), REGISTRY, PartitionCount(1), (cast(Queue, None), cast(Teller, told), Notes()))
    before = [REDRIVEN.labels(status)._value.get() for status in ("applied", "rejected")]
    said = [create("1"), create("2", redriven=True), update("3", "b", redriven=True), create("4", redriven=True)]
    await worker.handle([Delivery("m", "r", "p0", pack_commands(Partition(0), [encode_command(each) for each in said]), 1)])
    assert [REDRIVEN.labels(status)._value.get() for status in ("applied", "rejected")] == [before[0] + 2, before[1] + 1]


@pytest.mark.parametrize("both", [False, True])
async def test_what_came_in_two_messages_is_remembered_until_both_are_gone(both: bool) -> None:
    told = Told()
    told.begin()
    worker = CommandWorker(MemoryStore(), REGISTRY, PartitionCount(1), (cast(Queue, None), cast(Teller, told), Notes()))
    refused = update("1", "too early")
    body = pack_commands(Partition(0), [encode_command(refused)])
    first, second = Delivery("m1", "r", "p0", body, 1), Delivery("m2", "r", "p0", body, 1)
    handled = await worker.handle([first, second])
    assert handled.deleted is not None
    handled.deleted([first, second] if both else [first])
    history = worker._cache.peek(refused.stream)
    assert history is not None
    assert list(history.unsettled) == ([] if both else [(refused.actor, refused.id)])
