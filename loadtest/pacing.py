"""When requests are due. Pure: the schedule is fixed before the first answer, so a slow answer delays none of the others."""

import random
from collections.abc import Iterator


def arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Seconds from the start at which requests are due: independent callers, `rate` a second on average."""
    chance = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    due = chance.expovariate(rate)
    while due < seconds:
        yield due
        due += chance.expovariate(rate)


def steps(text: str) -> list[float]:
    """`500` or `200,400,800`: rates of as many equal steps. Raises ValueError."""
    rates = [float(each) for each in text.split(",")]
    if not all(0 < rate <= 1_000_000 for rate in rates):
        raise ValueError("a rate is a number of commands a second above 0")
    return rates
