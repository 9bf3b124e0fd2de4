"""I2 and I3 on one stream: what the worker really writes is clean, and each way of being wrong is named."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from events.comments.events import CommentCreated, CommentUpdated
from events.deciding import confirm, decide
from events.envelope import Command, Commit, Settled
from events.history import WINDOW
from events.ids import CommandId, Fingerprint, Version
from headrace.audit.findings import Noted
from headrace.audit.stored import StoredCheck
from readmodel.planning import Arrived
from runtime.times import Micros
from tests.support.said import REGISTRY as SAID
from tests.support.said import create, delete, empty, update
from tests.unit.readmodel.commits import chain, comment, commit

STREAM = comment(1)


def checked(commits: Sequence[Commit]) -> list[str]:
    noted = Noted()
    check = StoredCheck(STREAM, noted)
    for each in commits:
        check.take(Arrived(each))
    assert check.sound == all(each.invariant != "I3" for each in noted.named)
    return [f"{each.invariant} {each.detail}" for each in noted.named]


def long(events: int, each: int = 1) -> list[Commit]:
    return chain(STREAM, [CommentCreated("p", "ann", "a"), *(CommentUpdated(str(n)) for n in range(events - 1))], each)


texts = st.sampled_from(["a", "b", "c"])
commands = st.one_of(st.builds(create, text=texts), st.builds(update, text=texts, actor=st.sampled_from(["ann", "bob"])), st.builds(delete))


@given(st.lists(st.lists(commands, min_size=1, max_size=6), min_size=1, max_size=8), st.data())
@settings(max_examples=60, deadline=None)
def test_what_the_worker_writes_is_clean_however_often_commands_come_again(parcels: list[list[Command]], data: st.DataObject) -> None:
    """In the order of their queue: what comes again comes before what is new."""
    history, commits = empty(), []
    seen: list[Command] = []
    for parcel in parcels:
        again = data.draw(st.lists(st.sampled_from(seen), max_size=3)) if seen else []
        waiting = [*again, *parcel]
        seen += parcel
        while waiting:
            draft = decide(history, waiting, SAID)
            if draft.events:
                commits.append(draft.commit())
            confirm(history, draft)
            waiting = waiting[len(draft.outcomes) :]
    assert checked(commits) == []


def test_an_id_may_act_again_beyond_the_window_and_not_within() -> None:
    for distance, clean in ((WINDOW, True), (WINDOW - 1, False)):
        commits = long(distance + 1)
        last = commit(STREAM, distance + 2, distance + 1, CommentUpdated("again"), command="c1")
        assert checked([*commits, last]) == ([] if clean else [f"I2 command c1 acted in commits 1 and {distance + 2}"])


@pytest.mark.parametrize(("minutes", "clean"), [(14, False), (16, True)])
def test_what_left_no_event_may_act_once_it_is_forgotten(minutes: int, clean: bool) -> None:
    first, second = long(2)
    kept = Settled(CommandId("late"), "ann", Fingerprint("f" * 16), Version(1), "not_the_author")
    [event] = msgspec.json.decode(second.events)
    acts = {**event, "command_id": "late", "at": event["at"] + minutes * 60_000_000}
    last = Commit(STREAM, Version(3), Version(3), Version(2), Raw(msgspec.json.encode([acts])))
    found = checked([first, replace(second, settled=(kept,)), last])
    assert found == ([] if clean else ["I2 command late acted in commit 3, and commit 2 keeps it as without effect"])


def test_the_same_id_of_another_actor_is_another_command() -> None:
    commits = long(1)
    assert checked([*commits, commit(STREAM, 2, 1, CommentUpdated("b"), actor="bob", command="c1")]) == []


def test_a_command_that_acts_apart_within_one_commit_acts_twice() -> None:
    whole = long(3, each=3)[0]
    events = msgspec.json.decode(whole.events)
    events[2]["command_id"] = "c1"
    assert checked([replace(whole, events=Raw(msgspec.json.encode(events)))]) == ["I2 command c1 acted in commits 1 and 1"]
    events[1]["command_id"] = "c1"
    assert checked([replace(whole, events=Raw(msgspec.json.encode(events)))]) == []


def test_equal_times_are_no_rising_ones() -> None:
    first, second = long(2)
    [event] = msgspec.json.decode(second.events)
    [before] = msgspec.json.decode(first.events)
    same = replace(second, events=Raw(msgspec.json.encode([{**event, "at": before["at"]}])))
    assert checked([first, same]) == ["I3 version 2 is not later than the one before it"]
    later = replace(second, events=Raw(msgspec.json.encode([{**event, "at": before["at"] + 1}])))
    assert checked([first, later]) == []


def test_what_follows_a_commit_that_cannot_be_read_is_not_blamed() -> None:
    noted = Noted()
    check = StoredCheck(STREAM, noted)
    first, _, third = long(3)
    check.take(Arrived(first))
    check.unreadable(Version(2), "no commit")
    check.take(Arrived(third))
    assert [each.detail for each in noted.named] == ["commit 2 cannot be read: no commit"]
    assert not check.sound


def test_memory_is_the_window_however_long_the_stream() -> None:
    check = StoredCheck(STREAM, Noted())
    for each in long(3 * WINDOW, each=8):
        check.take(Arrived(each))
    assert len(check._known) == WINDOW
    assert check.events == check.last == 3 * WINDOW


def test_differences_are_named_up_to_a_bound_and_counted_beyond() -> None:
    noted = Noted(most=2)
    noted.note_all("I6", "comment-1", ["a", "b", "c", "d"])
    assert ([each.detail for each in noted.named], noted.unnamed) == (["a", "b"], 2)


def test_an_empty_commit_is_none() -> None:
    empty_one = Commit(STREAM, Version(1), Version(1), Version(0), Raw(b"[]"))
    assert checked([empty_one]) == ["I3 commit 1 holds 0 events for 1-1"]


def test_nothing_at_the_beginning_of_time() -> None:
    [first] = long(1)
    [event] = msgspec.json.decode(first.events)
    assert checked([replace(first, events=Raw(msgspec.json.encode([{**event, "at": Micros(0)}])))]) == [
        "I3 version 1 is not later than the one before it"
    ]
