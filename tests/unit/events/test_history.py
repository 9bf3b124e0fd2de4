"""A stream folded from its commits and a stream kept in memory are one and the same."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, structs

from events.deciding import confirm, decide
from events.envelope import Command, Commit, Settled
from events.history import WINDOW, BrokenStream, History, Seen
from events.ids import CommandId, Fingerprint, Version
from runtime.times import Micros
from tests.support.said import REGISTRY, create, empty, said, told, update

SMALL = 4  # a window that a handful of commands fills; nothing else depends on its size


@dataclass
class Stored:
    """One stream as a careful worker keeps it, and the commits it wrote."""

    history: History = field(default_factory=lambda: empty("account-1"))
    commits: list[Commit] = field(default_factory=list)

    def take(self, commands: list[Command], window: int | None) -> None:
        while commands:
            draft = decide(self.history, commands, REGISTRY, full=True)
            if draft.events:
                self.commits.append(draft.commit())
            confirm(self.history, draft, window)
            commands = commands[len(draft.outcomes) :]

    def folded(self, window: int | None) -> History:
        return empty("account-1").absorb(self.commits, REGISTRY, window)


entries = st.lists(st.integers(-3, 9), max_size=3)
asked = st.one_of(
    st.builds(lambda key: said("account.open", {"account_id": "1"}, f"k{key}"), st.integers(0, 9)),
    st.builds(lambda key, e: said("account.book", {"account_id": "1", "entries": e}, f"k{key}"), st.integers(0, 30), entries),
)
parcels = st.lists(st.lists(asked, min_size=1, max_size=4), max_size=12)


@given(parcels, st.sampled_from([SMALL, 2, WINDOW, None]))
@settings(max_examples=150, deadline=None)
def test_what_memory_keeps_is_what_the_fold_gives(said_so: list[list[Command]], window: int | None) -> None:
    stored = Stored()
    for commands in said_so:
        stored.take(commands, window)
        assert told(stored.folded(window)) == told(stored.history)


@given(parcels, st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_a_fold_may_stop_and_go_on_anywhere(said_so: list[list[Command]], at: int) -> None:
    stored = Stored()
    for commands in said_so:
        stored.take(commands, SMALL)
    in_two = empty("account-1").absorb(stored.commits[:at], REGISTRY, SMALL).absorb(stored.commits[at:], REGISTRY, SMALL)
    assert told(in_two) == told(stored.folded(SMALL))


@given(parcels)
@settings(max_examples=60, deadline=None)
def test_times_rise_and_versions_have_no_holes(said_so: list[list[Command]]) -> None:
    stored = Stored()
    for commands in said_so:
        stored.take([structs.replace(each, accepted_at=Micros(each.accepted_at % 7)) for each in commands], WINDOW)
    recorded = [each for commit in stored.commits for each in commit.recorded()]
    times = [each.at for each in recorded]
    assert times == sorted(set(times))
    assert [commit.first for commit in stored.commits] == [1, *(commit.last + 1 for commit in stored.commits[:-1])][: len(stored.commits)]
    assert len(recorded) == stored.history.version


def test_the_window_is_the_last_1024_ids_in_memory_and_in_the_fold() -> None:
    stored = Stored()
    stored.take([said("account.open", {"account_id": "1"}, "open")], WINDOW)
    for number in range(WINDOW + 2):
        stored.take([said("account.book", {"account_id": "1", "entries": [1, 2]}, f"b{number}", accepted_at=1000 + 10 * number)], WINDOW)
    assert len(stored.history.seen) == WINDOW
    assert next(iter(stored.history.seen)) == ("ann", "b2")
    assert told(stored.folded(WINDOW)) == told(stored.history)


def test_the_floor_is_when_the_newest_forgotten_command_acted() -> None:
    stored = Stored()
    stored.take([said("account.open", {"account_id": "1"}, "open", accepted_at=10)], SMALL)
    floors = [stored.history.floor]
    for number in range(SMALL):
        stored.take([said("account.book", {"account_id": "1", "entries": [1, 2]}, f"b{number}", accepted_at=100 * (number + 1))], SMALL)
    floors.append(stored.history.floor)
    stored.take([said("account.book", {"account_id": "1", "entries": [1]}, "more", accepted_at=900)], SMALL)
    floors.append(stored.history.floor)
    assert floors == [None, 10, 101]  # the last: the second of its two events
    assert stored.folded(SMALL).floor == 101


def test_an_id_that_changed_nothing_is_as_old_as_the_commit_that_tells_of_it() -> None:
    """It was accepted after the commit before: by that one's time its repeat would pass for a newcomer."""
    stored = Stored()
    stored.take([said("account.open", {"account_id": "1"}, "open", accepted_at=10)], SMALL)
    idle = said("account.book", {"account_id": "1", "entries": []}, "idle", accepted_at=500)
    stored.take([idle, said("account.book", {"account_id": "1", "entries": [1]}, "acts", accepted_at=600)], SMALL)
    assert stored.history.seen["ann", "idle"] == Seen(idle.fingerprint, Version(1), at=Micros(600), no_effect=True)
    for number in range(SMALL):
        stored.take([said("account.book", {"account_id": "1", "entries": [1]}, f"b{number}", accepted_at=700 + number)], SMALL)
    assert decide(stored.history, [idle], REGISTRY).needs_full


def _commits() -> list[Commit]:
    stored = Stored()
    stored.take([said("account.open", {"account_id": "1"})], WINDOW)
    stored.take([said("account.book", {"account_id": "1", "entries": [1, 2]})], WINDOW)
    stored.take([said("account.book", {"account_id": "1", "entries": [3]})], WINDOW)
    return stored.commits


@pytest.mark.parametrize(
    "broken",
    [
        lambda c: [c[1]],
        lambda c: [c[0], c[2]],
        lambda c: [c[0], c[0]],
        lambda c: [c[0], structs.replace(c[1], previous=Version(0)), c[2]],
        lambda c: [c[0], structs.replace(c[1], last=Version(2))],
        lambda c: [structs.replace(c[0], events=Raw(b"[]"))],
    ],
    ids=["no beginning", "a hole", "a repeat", "another predecessor", "fewer than it says", "nothing in it"],
)
def test_commits_that_do_not_follow_one_another_are_refused(broken: object) -> None:
    assert callable(broken)
    with pytest.raises(BrokenStream):
        empty("account-1").absorb(broken(_commits()), REGISTRY)


def test_settled_ids_come_before_the_commits_own() -> None:
    first, second, _ = _commits()
    told_of = Settled(CommandId("idle"), "ann", Fingerprint("f"), Version(1), "overdrawn", "an account is never below zero")
    history = empty("account-1").absorb([first, structs.replace(second, settled=(told_of,))], REGISTRY)
    assert [key for _, key in history.seen][1] == "idle"
    assert history.seen["ann", "idle"].reason == "overdrawn"


def test_a_comment_is_folded_with_its_times() -> None:
    history = empty()
    for command in (create(accepted_at=5), update(text="b", accepted_at=9)):
        confirm(history, decide(history, [command], REGISTRY))
    assert (history.state.text, history.state.created_at, history.state.updated_at, history.at) == ("b", 5, 9, 9)


def test_somebody_elses_commit_ends_what_was_only_remembered_here() -> None:
    """Its refusals were true of the head before; whoever wrote the commit has told of those that may come again."""
    stored = Stored()
    stored.take([said("account.open", {"account_id": "1"})], WINDOW)
    stored.take([said("account.book", {"account_id": "1", "entries": [-1]})], WINDOW)
    assert len(stored.history.unsettled) == 1
    other = stored.folded(WINDOW)
    draft = decide(other, [said("account.book", {"account_id": "1", "entries": [1]})], REGISTRY)
    assert stored.history.absorb([draft.commit()], REGISTRY).unsettled == {}
