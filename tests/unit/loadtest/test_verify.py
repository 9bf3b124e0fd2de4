"""What the check at the end finds: commands that are lost, came twice, or stand out of order."""

from array import array
from pathlib import Path

import msgspec
from msgspec import Raw

from events.envelope import Commit, Recorded
from events.ids import CommandId, Fingerprint, StreamId, Version
from loadtest.script import State
from loadtest.verify import Journal, Positions, Stored, Window, check, read_journal
from runtime.times import Micros

A, P, R = State.ACCEPTED, State.POSTED, State.REFUSED


def commit(stream: str, first: int, *keys: str) -> Commit:
    events = [Recorded("comment.updated.v1", Raw(b"{}"), Micros(1), "ann", CommandId(key), Fingerprint("f")) for key in keys]
    return Commit(StreamId(stream), Version(first), Version(first + len(keys) - 1), Version(0), Raw(msgspec.json.encode(events)))


def stored(*commits: Commit) -> Stored:
    found = Stored("run")
    found.absorb(commits)
    return found


def journal(*states: State) -> dict[int, Journal]:
    return {0: Journal(bytes(states), range(len(states)))}


WHOLE = [Window(0, 0, 4)]
PASSED = Positions({"comment-run-0-0": 2}, {"comment-run-0-0": 1})


def test_all_is_well() -> None:
    pages = [commit("comment-run-0-0", 2, "run-0-1"), commit("comment-run-0-0", 1, "run-0-0"), commit("comment-other-0-0", 1, "x")]
    verdict, missing = check(stored(*pages), journal(A, A, R, P), WHOLE, PASSED)
    assert (verdict.applied, verdict.projected, verdict.faults, missing) == (2, 1, [], [])


def test_a_command_that_is_not_there_must_be_asked_for() -> None:
    _, missing = check(stored(commit("comment-run-0-0", 1, "run-0-0")), journal(A, A, R, P), WHOLE, PASSED)
    assert missing == [(0, 1)]


def test_a_command_that_acted_twice() -> None:
    pages = [commit("comment-run-0-0", 1, "run-0-0", "run-0-0")]
    verdict, _ = check(stored(*pages), journal(A), WHOLE, PASSED)
    assert [fault.split()[0] for fault in verdict.faults] == ["order", "twice"]


def test_commands_out_of_order() -> None:
    pages = [commit("comment-run-0-0", 1, "run-0-0", "run-0-3", "run-0-2")]
    verdict, _ = check(stored(*pages), journal(A, A, A, A), WHOLE, PASSED)
    assert verdict.faults == ["order comment-run-0-0: command 2 stands after 3"]


def test_only_what_was_measured_is_counted() -> None:
    pages = [commit("comment-run-0-0", 1, "run-0-0", "run-0-1", "run-0-2")]
    verdict, _ = check(stored(*pages), journal(A, A, A), [Window(0, 1, 2)], PASSED)
    assert verdict.applied == 1


def test_what_was_refused_and_acted_all_the_same_is_counted_apart() -> None:
    verdict, missing = check(stored(commit("comment-run-0-0", 1, "run-0-0")), journal(R, R), [Window(0, 0, 2)], PASSED)
    assert (verdict.applied, verdict.unconfirmed, missing, verdict.faults) == (0, 1, [], [])


def test_a_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "0"
    file.write_bytes(bytes([A, R, P]) + array("I", [0, 1, 70_000]).tobytes())
    found = read_journal(file)
    assert (list(found.states), list(found.targets)) == ([A, R, P], [0, 1, 70_000])
