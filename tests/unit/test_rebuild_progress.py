"""What a rebuild says of how far it is."""

import pytest

from headrace.rebuild.progress import line


@pytest.mark.parametrize(
    ("done", "of", "seconds", "said"),
    [
        (0, 1_000, 0.0, "0 commits, 0 a second"),
        (20_000, 100_000, 1.0, "20,000 commits, 20,000 a second, 20% of about 100,000, 4 s to go"),
        (1_000, 100_000, 1.0, "1,000 commits, 1,000 a second, 1% of about 100,000, 1 min 39 s to go"),
        (150, 100, 2.0, "150 commits, 75 a second"),
        (150, 0, 2.0, "150 commits, 75 a second"),
    ],
)
def test_rate_and_rest(done: int, of: int, seconds: float, said: str) -> None:
    assert line(done, of, seconds, "commits") == said
