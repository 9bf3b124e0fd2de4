"""Batches into plans, and events into summed changes."""

import random
from datetime import timedelta
from typing import Any

import pytest

from docs.examples import comments_per_author
from events.comments.events import CommentCreated, CommentDeleted, CommentUpdated
from events.ids import StreamId, Version
from events.parcel import Stub
from readmodel.comments.projection import PROJECTION
from readmodel.comments.tables import COMMENTS, PICTURES
from readmodel.folding import CannotProject, fold, summed
from readmodel.planning import Arrived, Unit, filled, merged, parts, plan, units_of
from readmodel.projection import Changes, Delta, Happened, Projection, Row, nothing_projected
from readmodel.verdicts import START, Verdict
from runtime.errors import ConfigurationError
from tests.unit.readmodel.commits import REGISTRY, broken, chain, comment, commit, history

S = comment(1)


def unit(*numbers: int, total: int = 4) -> Unit:
    commits = history(S, updates=total - 1)
    return Unit(PROJECTION, S, [Arrived(commits[n]) for n in numbers], Version(max(numbers, default=0) + 1))


def test_a_batch_becomes_one_sorted_unit_a_stream() -> None:
    commits = [each for n in (2, 1) for each in history(comment(n), updates=2)]
    random.Random(1).shuffle(commits)
    units = units_of(commits * 2, [Stub(comment(3), Version(2), Version(5))], lambda _: (PROJECTION,))
    assert [(each.stream, [a.commit.first for a in each.commits], each.until) for each in units] == [
        (comment(1), [1, 2, 3], 3),
        (comment(2), [1, 2, 3], 3),
        (comment(3), [], 5),
    ]


def test_what_follows_is_applied_up_to_the_hole() -> None:
    judged = plan(unit(0, 1, 3), START, parked=False)
    assert ([each.commit.first for each in judged.apply], judged.missing, judged.fault) == ([1, 2], True, None)
    assert judged.reached.version == 2


def test_parts_hold_so_many_events_and_never_two_pieces_of_one_stream() -> None:
    long = history(S, updates=9, each=2)
    units = units_of(
        [*long, *history(comment(2), updates=1), *history(comment(3))], [Stub(comment(4), Version(1), Version(9))], lambda _: [PROJECTION]
    )
    found = list(parts(units, 5))
    assert [[(each.stream, [a.commit.first for a in each.commits], each.until) for each in part] for part in found] == [
        [(S, [1, 3], 4)],
        [(S, [5, 7], 8)],
        [(S, [9], 10), (comment(2), [1, 2], 2), (comment(3), [1], 1), (comment(4), [], 9)],
    ]
    assert [[each.stream for each in part] for part in parts(units[1:], 1)] == [[comment(2)], [comment(2)], [comment(3), comment(4)]]
    assert list(parts([], 5)) == []


def test_a_commit_of_more_than_a_part_is_a_part_alone() -> None:
    units = units_of([*history(S, updates=5, each=3), *history(comment(2))], [], lambda _: [PROJECTION])
    assert [[(each.stream, len(each.commits)) for each in part] for part in parts(units, 2)] == [[(S, 1)], [(S, 1)], [(comment(2), 1)]]


def test_large_events_count_by_their_bytes() -> None:
    units = units_of(
        chain(S, [CommentCreated("p", "ann", "a"), *(CommentUpdated("x" * 9_000) for _ in range(4))]), [], lambda _: [PROJECTION]
    )
    assert [len(each.commits) for part in parts(units, 5) for each in part] == [3, 2]


def test_a_filled_unit_has_no_hole_or_is_parked() -> None:
    whole = filled(unit(3), history(S, updates=9))
    judged = plan(whole, START, parked=False)
    assert (judged.reached.version, judged.missing, judged.fault) == (4, False, None)
    hollow = plan(filled(unit(3), history(S, updates=9)[2:]), START, parked=False)
    assert hollow.fault is not None
    assert (hollow.fault.reason, hollow.fault.version) == ("gap", 1)


def test_a_parked_stream_asks_for_nothing() -> None:
    judged = plan(unit(1, 3), START, parked=True)
    assert (judged.apply, judged.missing, judged.fault, judged.counts) == ([], False, None, {Verdict.PARKED: 2})


def test_an_unreadable_commit_is_a_fault_at_its_version() -> None:
    judged = plan(Unit(PROJECTION, S, [Arrived(broken(S, 1, 0, "[]"))], Version(1)), START, parked=False)
    assert judged.fault is not None
    assert (judged.fault.reason, judged.fault.version) == ("unreadable", 1)


def test_units_that_were_halved_are_merged_again() -> None:
    [(whole, position)] = merged([(unit(0, 1), START), (unit(3), START)])
    assert ([each.commit.first for each in whole.commits], whole.until, position) == ([1, 2, 4], 4, START)


def test_many_streams_deltas_are_one_row_a_key() -> None:
    deltas = []
    for n in range(5):
        commits = [Arrived(each) for each in history(comment(n), f"p{n % 2}", updates=1, deleted=n == 4)]
        deltas += fold(PROJECTION, REGISTRY, comment(n), None, commits).deltas
    sums = summed(deltas)[PICTURES]
    assert sums.add == {("p0",): {"comment_count": 2, "revision": 7}, ("p1",): {"comment_count": 2, "revision": 4}}
    assert {key: set(columns) for key, columns in sums.highest.items()} == {("p0",): {"last_commented_at"}, ("p1",): {"last_commented_at"}}


def test_a_row_is_the_deciders_own_fold() -> None:
    commits = history(S, "p", updates=3, deleted=True, each=2)
    row = fold(PROJECTION, REGISTRY, S, None, [Arrived(each) for each in commits]).row
    state: Any = None
    decider = REGISTRY.of_command("comment.create").decider
    for each in commits:
        for recorded in each.recorded():
            state = decider.evolve(state, REGISTRY.read(recorded.name, recorded.data), recorded.at)
    assert row is not None
    assert (row["text"], row["deleted"], row["picture_id"], row["author"]) == (state.text, True, "p", "ann")
    assert row["updated_at"] - row["created_at"] == timedelta(microseconds=state.updated_at - state.created_at)


def _projecting(changes: Changes) -> Projection:
    def project(row: Row | None, happened: Happened) -> Changes:
        return changes

    return Projection("mine", (COMMENTS, PICTURES), project, home=COMMENTS)


@pytest.mark.parametrize(
    "changes",
    [
        Changes(),
        Changes(row={"text": "incomplete"}),
        Changes(deltas=(Delta(COMMENTS, "x", add={"version": 1}),)),
        Changes(deltas=(Delta(comments_per_author.AUTHORS, "x", add={"comments": 1}),)),
        Changes(deltas=(Delta(PICTURES, "x", add={"no_such": 1}),)),
        Changes(deltas=(Delta(PICTURES, ("x", "y"), add={"revision": 1}),)),
    ],
)
def test_a_projections_mistakes_are_its_streams_fault(changes: Changes) -> None:
    with pytest.raises(CannotProject) as raised:
        fold(_projecting(changes), REGISTRY, S, None, [Arrived(each) for each in history(S)])
    assert (raised.value.fault.reason, raised.value.fault.version) == ("projection_failed", 1)


def test_values_that_do_not_compare_are_told_apart() -> None:
    with pytest.raises(TypeError):
        summed([Delta(PICTURES, "p", highest={"last_commented_at": 1}), Delta(PICTURES, "p", highest={"last_commented_at": "x"})])


def test_a_projection_that_cannot_work_is_refused_when_it_is_made() -> None:
    with pytest.raises(ConfigurationError, match="lacks"):
        Projection("mine", (PICTURES,), PROJECTION.project, home=PICTURES)
    with pytest.raises(ConfigurationError, match="not among"):
        Projection("mine", (), PROJECTION.project, home=COMMENTS)


def test_comments_per_author_counts_them() -> None:
    mine = comments_per_author.PROJECTION
    deltas = []
    for n in range(3):
        events = [CommentCreated("p", "ann", "x"), CommentUpdated("y"), *([CommentDeleted()] if n == 2 else [])]
        deltas += fold(mine, REGISTRY, comment(n), None, [Arrived(each) for each in chain(comment(n), events)]).deltas
    sums = summed(deltas)[comments_per_author.AUTHORS]
    assert sums.add == {("ann",): {"comments": 2}}


def test_nothing_projected_keeps_positions_only() -> None:
    folded = fold(nothing_projected(), REGISTRY, StreamId("comment-1"), None, [Arrived(commit(S, 1, 0, CommentUpdated("x")))])
    assert (folded.row, folded.deltas) == (None, [])
