import pytest

from headrace.observe import cache_hits, depth, lags, together

WORKER = {"appended_at": 1000.0, "burst_at": 990.0, "before_burst_at": 500.0}


@pytest.mark.parametrize(
    ("passed", "lag"),
    [
        (1000.0, 0.0),  # it has all
        (995.0, 15.0),  # it lacks what came after
        (500.0, 20.0),  # it had all before this burst: the burst's first commit is what it lacks
        (400.0, 610.0),  # it was behind before
        (0.0, 20.0),  # it has passed nothing yet since it began: the burst is all that is known
    ],
)
def test_the_lag_is_the_age_of_the_oldest_commit_that_a_projector_lacks(passed: float, lag: float) -> None:
    assert lags(1010.0, {"commands": WORKER, "projector-rds": {"passed_at": passed}}) == {"rds": lag}


def test_nobody_knows_the_lag_of_one_who_does_not_answer() -> None:
    assert lags(1010.0, {"commands": WORKER}) == {}
    assert lags(1010.0, {"projector-rds": {"passed_at": 1.0}}) == {}


def test_a_depth_is_in_commands_by_what_the_reader_found_in_a_message_so_far() -> None:
    seen = {"commands": {'messages{queue="commands"}': 10.0, 'envelopes{queue="commands"}': 125.0}}
    assert depth("commands", 4, seen) == 50
    assert depth("commands-dead", 4, seen) == 4
    assert depth("commands", 4, {}) == 4


def test_the_share_of_cache_hits_is_unknown_before_the_first_look_up() -> None:
    assert cache_hits({}) is None
    assert cache_hits({'state_cache{result="hit"}': 7.0, 'state_cache{result="miss"}': 1.0}) == 0.875


def test_processes_of_one_role_tell_as_one() -> None:
    idle, busy = {"passed_at": 0.0, 'messages{queue="rds"}': 2.0}, {"passed_at": 1000.0, 'messages{queue="rds"}': 3.0}
    assert together(idle, busy) == together(busy, idle) == {"passed_at": 1000.0, 'messages{queue="rds"}': 5.0}
    assert together({}, busy) == busy
