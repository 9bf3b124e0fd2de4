"""How long a shard rests between two reads."""

import asyncio

import pytest

from tests.support.virtual_time import run_virtually
from workers.pacing import FULL, MANY, SEVERAL, SLOW_MOST, Pace, resting


def rested(records: int, gather: float) -> float:
    """Seconds from a page's request to the end of the rest after it."""

    async def resting() -> float:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        await Pace(clock=loop.time, gather=gather).rest(asyncio.Event(), asked, records)
        return loop.time() - asked

    return run_virtually(resting())


@pytest.mark.parametrize(
    ("records", "gather", "seconds"),
    [
        (1, 0.2, 0.05),
        (MANY, 0.2, 0.2),
        (MANY * 3, 0.2, 0.2),
        (MANY, 0.4, 0.4),
        (MANY // 2, 0.4, 0.1375),
        (MANY, 0.02, 0.02),
        (1, 0.02, 0.02),
    ],
)
def test_while_commits_come_it_grows_with_their_number_squared_up_to_what_is_asked_for(records: int, gather: float, seconds: float) -> None:
    assert rested(records, gather) == pytest.approx(seconds, abs=0.01)


def test_behind_a_full_page_there_is_no_rest() -> None:
    assert rested(FULL, 0.4) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    ("records", "took", "seconds"),
    [(SEVERAL, 0.001, 0.0524), (SEVERAL, 0.1, 0.2), (MANY, 0.15, 0.3), (MANY, 5.0, SLOW_MOST), (SEVERAL - 1, 5.0, 0.0), (FULL, 5.0, 0.0)],
)
def test_a_slow_backend_gets_fuller_pages_instead_of_more_of_them(records: int, took: float, seconds: float) -> None:
    assert resting(records, took, 0.2) == pytest.approx(seconds, abs=0.001)
