"""A parked stream that is redriven: what becomes of it, and of its park."""

from dataclasses import replace
from typing import Any

import pytest

from events.envelope import Commit
from events.ids import Version
from readmodel.comments.projection import PROJECTION
from readmodel.parks import Change, changed
from readmodel.planning import Arrived, Fault, Unit, filled, plan
from readmodel.verdicts import START, Position, Verdict
from tests.unit.readmodel.commits import comment, history

S = comment(1)
LIFE = history(S, updates=4)


def redriven(*commits: Commit, **more: Any) -> Unit:
    """As the store gave it."""
    return filled(Unit(PROJECTION, S, [], Version(0), goal=Version(0), **more), commits)


def test_what_is_redriven_comes_from_the_store_alone() -> None:
    unread = plan(Unit(PROJECTION, S, [*map(Arrived, LIFE)], Version(5), goal=Version(5)), START, parked=True)
    assert (unread.apply, unread.missing, unread.fault) == ([], True, None)
    judged = plan(redriven(*LIFE), START, parked=True)
    assert (len(judged.apply), judged.missing, judged.fault, judged.reached.version) == (len(LIFE), False, None, LIFE[-1].last)


def test_a_view_beyond_the_store_is_a_fork_only_while_it_is_parked() -> None:
    beyond = Position(Version(LIFE[-1].last + 1), Version(LIFE[-1].last + 1), "x")
    fault = plan(redriven(*LIFE), beyond, parked=True).fault
    assert fault is not None
    assert fault.reason == "fork"
    assert plan(redriven(*LIFE), beyond, parked=False).fault is None  # somebody else was faster


def test_behind_a_piece_that_could_not_be_applied_the_stream_is_parked() -> None:
    first, rest = LIFE[:1], LIFE[2:]
    behind = replace(redriven(*rest), later=True)
    position = Position(first[0].last, first[0].first, first[0].recorded()[-1].command_id)
    assert plan(behind, position, parked=True).counts == {Verdict.PARKED: len(rest)}
    fault = plan(redriven(*rest), position, parked=True).fault
    assert fault is not None
    assert fault.reason == "gap"


@pytest.mark.parametrize(
    ("spoken_of", "final", "ended", "moved", "behind"),
    [(0, True, True, None, None), (9, True, False, (6, 0), 9), (0, False, False, (6, 0), None)],
)
def test_a_park_ends_with_the_last_piece_when_nobody_spoke_of_more(
    spoken_of: int, *, final: bool, ended: bool, moved: tuple[int, int] | None, behind: int | None
) -> None:
    unit = replace(redriven(*LIFE), final=final)
    key = (PROJECTION.name, S)
    change = changed([(unit, plan(unit, START, parked=True))], {key: spoken_of}, [])
    assert (change.ended, change.moved) == ([key] if ended else [], {key: moved} if moved else {})
    assert [(each.goal, each.fetched, at.version) for each, at in change.behind] == ([(behind, False, 5)] if behind else [])


def test_a_redrive_with_a_fault_ends_nothing() -> None:
    unit = redriven(*LIFE)
    fault = Fault("unreadable", "for this test", Version(3))
    assert changed([(unit, plan(unit, START, parked=True))], {(PROJECTION.name, S): 0}, [(unit, fault)]) == Change()
