"""When Redis is left alone."""

from readmodel.cache import REST_SECONDS, TRIES, Breaker


def test_it_opens_after_failures_in_a_row_and_lets_one_try_after_a_rest() -> None:
    breaker = Breaker()
    for _ in range(TRIES):
        assert breaker.closed
        breaker.failed(100.0)
    assert not breaker.closed
    assert not breaker.due(100.0 + REST_SECONDS / 2)
    assert breaker.due(100.0 + REST_SECONDS)
    assert not breaker.due(100.0 + REST_SECONDS)  # one at a time
    assert not breaker.closed  # and the others do not wait for what it finds
    breaker.answered()
    assert breaker.closed


def test_failures_that_are_not_in_a_row_do_not_open_it() -> None:
    breaker = Breaker()
    for _ in range(TRIES * 3):
        breaker.failed(1.0)
        breaker.answered()
    assert breaker.closed
