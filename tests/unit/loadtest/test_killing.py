"""What the kill drill makes of what it saw: the lease rows, and whether its strikes prove anything."""

from pathlib import Path
from typing import Final

import msgspec
import pytest

from loadtest.killing import said
from loadtest.lease_history import Lease, LeaseHistory, faults_between, lease_of
from loadtest.nemesis import Plan, Strike, counted, too_few

GOLDEN: Final = Path(__file__).parents[2] / "golden"
ROW = Lease("host-7-ab", 10, 3, 500, ended=False)
PLAN = Plan(("relay", "projector-rds"), ("kill",), seconds=10.0, every=2.0, stopped=13.0, seed=1)


def strike(role: str = "relay", in_hand: int = 1) -> Strike:
    return Strike(0.0, f"{role}-1", role, "kill", in_hand)


@pytest.mark.parametrize(
    ("after", "wrong"),
    [
        (ROW, None),
        (ROW._replace(counter=11, checkpoint=501), None),
        (ROW._replace(counter=11, owner="-"), None),
        (ROW._replace(counter=11, owner="host-8-cd", epoch=4), None),
        (ROW._replace(counter=11, ended=True), None),
        (ROW._replace(epoch=2), "the epoch fell"),
        (ROW._replace(epoch=5), "the epoch rose from 3 to 5"),
        (ROW._replace(owner="host-8-cd"), "gave way"),
        (ROW._replace(counter=9), "the counter fell"),
        (ROW._replace(epoch=4, checkpoint=499), "the checkpoint fell from 500 to 499"),
        (ROW._replace(epoch=4, checkpoint=0), "the checkpoint fell"),
    ],
)
def test_a_lease_changes_hands_by_one_epoch_and_never_goes_back(after: Lease, wrong: str | None) -> None:
    found = list(faults_between(ROW, after, 0.1))
    assert found == [] if wrong is None else wrong in found[0]


def test_what_has_ended_does_not_go_on() -> None:
    assert list(faults_between(ROW._replace(ended=True), ROW._replace(counter=11), 0.1)) == ["it had ended, and goes on"]


def test_a_lease_that_nobody_looked_at_for_long_may_have_changed_hands_twice() -> None:
    assert list(faults_between(ROW, ROW._replace(epoch=5, counter=20), 5.0)) == []


def test_a_history_counts_moves_and_changes_of_hands_and_remembers_what_was_wrong() -> None:
    history = LeaseHistory()
    history.saw({"lease#s#1": ROW}, 1.0)
    history.saw({"lease#s#1": ROW._replace(counter=11, checkpoint=600)}, 1.1)
    history.saw({"lease#s#1": ROW._replace(counter=12, checkpoint=600, epoch=4, owner="host-8-cd")}, 1.2)
    assert (history.looks, history.moves, history.hands, history.faults) == (3, 1, 1, [])
    history.saw({"lease#s#1": ROW}, 1.3)
    assert [each.split(": ")[0] for each in history.faults] == ["I9 lease#s#1"] * 3


def test_the_rows_are_read_as_they_lie_there() -> None:
    row = lease_of(msgspec.json.decode((GOLDEN / "lease_row.json").read_bytes()))
    assert (row.owner, row.counter, row.epoch, row.ended) == ("host-1-ab", 7, 3, False)
    assert row.checkpoint == 49590338271490256608559692538361571095921575989136588898
    assert (row.of_process(1), row.of_process(11)) == (True, False)
    assert lease_of(msgspec.json.decode((GOLDEN / "lease_row_ended.json").read_bytes())).ended


def test_a_drill_that_met_too_little_proves_nothing() -> None:
    enough = [strike(), strike("projector-rds"), strike(in_hand=0), strike("projector-rds", 0)]
    assert list(too_few(enough, PLAN)) == []
    assert "3 strikes of 5" in next(iter(too_few(enough[:3], PLAN)))
    assert "only 2 of 5" in next(iter(too_few([*enough, strike(in_hand=0)], PLAN)))
    assert list(too_few([strike()] * 5, PLAN)) == ["void: no projector-rds was struck with work in hand"]


def test_strikes_are_counted_by_role() -> None:
    found = counted([strike(), strike(in_hand=0), strike("projector-rds", 3)])
    assert found == {
        "strikes": {"relay": 2, "projector-rds": 1},
        "signals": {"kill": 3},
        "with_work": {"relay": 1, "projector-rds": 1},
    }


def test_what_the_roles_complained_of_is_counted_and_a_trace_is_no_line_of_json(tmp_path: Path) -> None:
    (tmp_path / "relay-1.log").write_text('{"level":"warning","event":"lease lost"}\n{"level":"info","event":"page relayed"}\n')
    (tmp_path / "relay-2.log").write_text('{"level":"warning","event":"lease lost"}\nTraceback (most recent call last):\n')
    (tmp_path / "gateway.log").write_text('{"level":"error","event":"no matter"}\n')
    assert said(tmp_path) == {"relay: lease lost": 2, "relay: Traceback (most recent call last):": 1}
