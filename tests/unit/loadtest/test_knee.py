"""The search for the knee, on a stack that exists on paper."""

import pytest

from loadtest.knee import Backlogs, Search, growing, trial_seconds


def looks(rate: float, capacity: float, noise: float = 0.0) -> list[Backlogs]:
    """A trial of six seconds, twice a second: what is above the capacity piles up before the worker."""
    over = max(0.0, rate - capacity)
    return [Backlogs(n / 2, {"commands": over * n / 2 + noise * (n % 2), "rds": noise * (n % 3)}) for n in range(13)]


@pytest.mark.parametrize("burst", [400.0, 950.0, 1000.0, 1050.0, 2500.0])
def test_the_knee_is_found_from_any_first_guess(burst: float) -> None:
    search, trials = Search(burst), 0
    while (rate := search.next()) is not None and trials < 20:
        trials += 1
        search.tried(rate, held=not growing(looks(rate, 1000.0, noise=30.0), rate))
    assert 850 <= search.knee <= 1065
    assert trials < 16


def test_a_good_first_guess_takes_few_trials() -> None:
    search, trials = Search(1000.0), 0
    while (rate := search.next()) is not None:
        trials += 1
        search.tried(rate, held=not growing(looks(rate, 1000.0), rate))
    assert trials <= 3


def test_the_stage_that_does_not_keep_up_is_named() -> None:
    assert growing(looks(1200, 1000), 1200) == ["commands"]
    assert growing(looks(900, 1000, noise=40), 900) == []


def test_too_few_looks_say_nothing() -> None:
    assert growing(looks(2000, 1000)[:4], 2000) == []


def test_a_search_in_which_nothing_held_names_the_last_rate() -> None:
    search = Search(100.0)
    rate = search.next()
    assert rate is not None
    search.tried(rate, held=False)
    assert search.knee < rate


def test_the_trials_of_a_short_search_are_long_enough_to_judge_by() -> None:
    seen = [look for look in looks(2000, 1000) if look.at <= trial_seconds(10)]
    assert growing(seen, 2000) == ["commands"]
    assert trial_seconds(60) == 6
