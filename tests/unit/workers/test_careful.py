"""Messages received again and again: a command that kills its worker is found, and nobody else is accused."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs

from events.deciding import confirm, decide
from events.domain import Context, Decider, Domain, Registry
from events.envelope import Command
from events.ids import Partition, Version
from events.memory_store import MemoryStore
from events.outcome import Outcome, Status
from events.parcel import encode_command, pack_commands
from runtime.errors import Retryable
from tests.support import bomb
from tests.support.said import COMMENTS, create, empty, said, update
from workers.careful import WHY, Careful
from workers.jobs import Batch, open_batch
from workers.queue import Delivery
from workers.rounds import Rounds
from workers.state_cache import StateCache
from workers.trials import Trial, key_of


class Died(BaseException):
    """What ends a process passes through every handler."""


class NoMore(BaseException):
    """A dead process writes nothing more."""


def deadly(command: bomb.Light, state: Any, context: Context) -> Sequence[bomb.Lit]:
    if command.how == "exit":
        NOTES[-1].alive = False
        raise Died
    return [bomb.Lit(command.how)]


BOMBS = Domain("bomb", bomb.DOMAIN.commands, bomb.DOMAIN.events, Decider(None, deadly, bomb.DOMAIN.decider.evolve))
REGISTRY = Registry([COMMENTS, BOMBS])


def light(ident: str, how: str = "calm") -> Command:
    command = said("bomb.light", {"bomb_id": ident, "how": how})
    return structs.replace(command, stream=command.stream.replace("comment-1", f"bomb-{ident}"))


NOTES: "list[Notes]" = []


class Notes:
    """Outlives its workers."""

    def __init__(self) -> None:
        NOTES.append(self)
        self.kept: dict[str, Trial] = {}
        self.writes = 0
        self.alive = True

    async def read(self, message_id: str) -> Trial:
        kept = self.kept.get(message_id)
        return structs.replace(kept) if kept else Trial()

    async def write(self, message_id: str, trial: Trial) -> None:
        if not self.alive:
            raise NoMore
        self.writes += 1
        self.kept[message_id] = structs.replace(trial, trying=list(trial.trying))

    async def forget(self, message_id: str) -> None:
        del self.kept[message_id]


async def lives(said_: list[Command], store: MemoryStore, notes: Notes) -> tuple[Batch, int]:
    """The batch as the last of so many workers left it."""
    delivery = Delivery("m", "r", "p0", pack_commands(Partition(0), [encode_command(each) for each in said_]), 3)
    for life in range(1, 12):
        batch = open_batch([delivery], 1)
        notes.alive = True
        try:
            await Careful(notes, Rounds(store, REGISTRY, StateCache()), store).decide("m", batch)
        except (Died, NoMore):
            continue
        return batch, life
    raise AssertionError("the message never came to rest")


async def test_a_killer_alone_on_its_stream_dies_twice_and_is_set_aside() -> None:
    store = MemoryStore()
    batch, life = await lives([create("1"), light("x", "exit"), create("2"), update("1", "b")], store, Notes())
    assert life == 3
    assert [each.outcome.status for each in batch.asked if each.outcome] == [
        Status.APPLIED,
        Status.FAILED,
        Status.APPLIED,
        Status.APPLIED,
    ]
    assert batch.asked[1].outcome == Outcome(Status.FAILED, Version(0), "failed", WHY)


async def test_its_neighbours_on_the_stream_are_decided_in_order() -> None:
    store = MemoryStore()
    batch, life = await lives([light("x"), light("x", "exit"), light("x")], store, Notes())
    assert life == 4  # once together, twice alone
    statuses = [each.outcome.status for each in batch.asked if each.outcome]
    assert statuses == [Status.APPLIED, Status.FAILED, Status.APPLIED]
    assert await store.last_version(batch.asked[0].command.stream) == 2


async def test_two_killers_in_one_parcel_are_both_found() -> None:
    batch, life = await lives([light("x", "exit"), light("y", "exit"), light("z")], MemoryStore(), Notes())
    assert life == 5
    assert [each.outcome.status.value for each in batch.asked if each.outcome] == ["failed", "failed", "applied"]


async def test_one_death_accuses_nobody() -> None:
    """The worker was killed from outside while it tried an innocent command."""
    notes, store = Notes(), MemoryStore()
    innocent = create("1")
    notes.kept["m"] = Trial(trying=[key_of(innocent)])
    batch, life = await lives([innocent], store, notes)
    assert (life, batch.asked[0].outcome) == (1, Outcome(Status.APPLIED, Version(1)))


async def test_what_was_stored_before_its_worker_died_is_applied_not_failed() -> None:
    notes, store = Notes(), MemoryStore()
    stored = create("1")
    history = empty(stored.stream)
    draft = decide(history, [stored], REGISTRY)
    await store.append([draft.commit()])
    confirm(history, draft)
    notes.kept["m"] = Trial(failures={key_of(stored): 2})
    batch, _ = await lives([stored], store, notes)
    assert batch.asked[0].outcome == Outcome(Status.APPLIED, Version(1))


async def test_an_error_of_ours_counts_like_a_death_and_holds_its_own_stream_only(monkeypatch: pytest.MonkeyPatch) -> None:
    decide_ = Rounds.decide

    async def broken(self: Rounds, jobs: Sequence[Any]) -> None:
        if jobs[0].stream == "comment-1":
            raise ZeroDivisionError
        await decide_(self, jobs)

    monkeypatch.setattr(Rounds, "decide", broken)
    notes, store = Notes(), MemoryStore()
    asked = [create("1"), create("2")]
    outcomes = []
    for _ in range(3):
        batch, life = await lives(asked, store, notes)
        assert life == 1
        outcomes.append([each.outcome.status.value if each.outcome else None for each in batch.asked])
    assert outcomes == [[None, "applied"], [None, "applied"], ["failed", "applied"]]


async def test_what_stands_behind_a_command_that_failed_alone_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    decide_ = Rounds.decide
    first, second = create("1"), update("1", "b")

    async def broken(self: Rounds, jobs: Sequence[Any]) -> None:
        if any(each.command.id == first.id for each in jobs[0].asked):
            raise ZeroDivisionError
        await decide_(self, jobs)

    monkeypatch.setattr(Rounds, "decide", broken)
    notes = Notes()
    notes.kept["m"] = Trial(alone={key_of(first), key_of(second)})
    batch, _ = await lives([first, second], MemoryStore(), notes)
    assert [each.outcome for each in batch.asked] == [None, None]


@pytest.mark.parametrize("note_lost", [False, True])
async def test_a_store_that_is_away_is_nobodys_fault(note_lost: bool) -> None:
    """However often it is tried meanwhile, in this life; even where the note cannot be cleared in between."""

    class Away(MemoryStore):
        times = 4

        async def read(self, keys: Any, snapshots_of: Any = ()) -> Any:
            self.times -= 1
            if self.times >= 0:
                raise Retryable("away")
            return await super().read(keys, snapshots_of)

    class Stubborn(Notes):
        async def write(self, message_id: str, trial: Trial) -> None:
            if note_lost and not trial.trying and store.times > 0:
                raise Retryable("the notes are away")
            await super().write(message_id, trial)

    store, notes = Away(), Stubborn()
    delivery = Delivery("m", "r", "p0", pack_commands(Partition(0), [encode_command(update("1", "b"))]), 3)
    careful = Careful(notes, Rounds(store, REGISTRY, StateCache()), store)
    for _ in range(4):
        with pytest.raises(Retryable):
            await careful.decide("m", open_batch([delivery], 1))
    batch = open_batch([delivery], 1)
    await careful.decide("m", batch)
    assert batch.asked[0].outcome is not None
    assert batch.asked[0].outcome.reason == "comment_not_found"
