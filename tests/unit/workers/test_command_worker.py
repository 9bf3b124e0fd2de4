"""What the command worker does around its decisions: notes of trials are forgotten after the work, and never in its way."""

from collections.abc import Sequence
from typing import cast

import pytest
from msgspec import structs

from events.envelope import Commit
from events.ids import Partition, StreamId
from events.memory_store import MemoryStore
from events.parcel import encode_command, pack_commands
from events.store import Appended
from runtime.errors import Retryable
from runtime.metrics import REDRIVEN
from tests.support.group_model import Told
from tests.support.said import REGISTRY, create, update
from tests.support.scripted_queue import ScriptedQueue
from workers import rounds
from workers.careful import WHY
from workers.command_worker import CommandWorker
from workers.jobs import Job
from workers.partition_count import PartitionCount
from workers.queue import Delivery, Queue
from workers.rounds import Rounds
from workers.settling import settlement
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


class Throttled(MemoryStore):
    """One stream's partition takes nothing more."""

    async def append(self, commits: Sequence[Commit]) -> list[Appended]:
        taken = [each for each in commits if each.stream != "comment-hot"]
        said = dict(zip([each.stream for each in taken], await super().append(taken), strict=True))
        return [said.get(each.stream, Appended.BUSY) for each in commits]


@pytest.mark.parametrize("receives", [1, 8])
async def test_a_throttled_stream_keeps_its_message_in_hand_however_often_it_was_received(
    receives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not worn out, and what stands behind it does not pass it. The other streams of its parcel are decided."""
    monkeypatch.setattr(rounds, "backoff", lambda *_: 0)
    told = Told()
    told.begin()
    worker = CommandWorker(Throttled(), REGISTRY, PartitionCount(1), (cast(Queue, None), cast(Teller, told), Notes()))
    body = pack_commands(Partition(0), [encode_command(create("calm")), encode_command(create("hot"))])
    batch = [message("before", receives), Delivery("both", "r", "p0", body, receives), message("behind", 1)]
    settled = settlement(batch, await worker.handle(batch), 10)
    assert {each.stream for each in told.notices} >= {"comment-before", "comment-calm"}
    assert (settled.bury, settled.delete, settled.keep, settled.give_back) == ([], batch[:1], batch[1:], [])


@pytest.mark.parametrize("receives", [1, 8])
async def test_a_parcel_for_a_newer_worker_waits_in_hand_and_what_is_before_it_is_done(receives: int) -> None:
    told = Told()
    told.begin()
    worker = CommandWorker(MemoryStore(), REGISTRY, PartitionCount(1), (cast(Queue, None), cast(Teller, told), Notes()))
    newer = Delivery("newer", "r", "p0", '{"wire":99}', receives)
    batch = [message("before", receives), newer, message("behind", receives)]
    settled = settlement(batch, await worker.handle(batch), 10)
    assert (settled.bury, settled.delete, settled.keep, settled.give_back) == ([], batch[:1], batch[1:], [])
    assert [each.stream for each in told.notices] == ["comment-before"]


async def test_a_command_that_breaks_is_dead_lettered_alone_without_another_receive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its message stays in hand meanwhile, tried again."""
    decide = Rounds.decide

    async def broken(self: Rounds, jobs: Sequence[Job]) -> None:
        if any(job.stream == "comment-bad" for job in jobs):
            raise ZeroDivisionError
        await decide(self, jobs)

    monkeypatch.setattr(Rounds, "decide", broken)
    told, grave = Told(), Grave()
    told.begin()
    worker = CommandWorker(MemoryStore(), REGISTRY, PartitionCount(1), (grave, cast(Teller, told), Notes()))
    body = pack_commands(Partition(0), [encode_command(create("good")), encode_command(create("bad"))])
    batch = [Delivery("both", "r", "p0", body, 3)]
    settled = [settlement(batch, await worker.handle(batch), 10) for _ in range(3)]
    assert [(each.keep, each.delete) for each in settled] == [(batch, []), (batch, []), ([], batch)]
    assert grave.reasons == [WHY]


async def test_a_failed_command_whose_message_stays_in_hand_is_dead_lettered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "backoff", lambda *_: 0)
    told, grave = Told(), Grave()
    told.begin()
    worker = CommandWorker(Throttled(), REGISTRY, PartitionCount(1), (grave, cast(Teller, told), Notes()))
    unknown = structs.replace(create("lost"), stream=StreamId("nothing-lost"))
    batch = [Delivery("both", "r", "p0", pack_commands(Partition(0), [encode_command(unknown), encode_command(create("hot"))]), 1)]
    settled = [settlement(batch, await worker.handle(batch), 10) for _ in range(3)]
    assert [each.keep for each in settled] == [batch] * 3
    assert len(grave.reasons) == 1


class Grave(ScriptedQueue):
    def __init__(self) -> None:
        super().__init__()
        self.reasons: list[str] = []

    async def bury_body(self, body: str, once: str, reason: str, receives: int) -> None:  # noqa: ARG002 - the queue's shape
        self.reasons.append(reason)
