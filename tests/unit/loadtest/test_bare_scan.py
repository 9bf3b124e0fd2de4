"""What is told of bare puts beside a bare scan."""

from loadtest.bare_scan import summed


def test_the_slowest_put_and_the_slowest_four_in_a_row() -> None:
    told = summed(2.0, [0.0, 0.1, 0.6, 0.8, 0.9, 1.0, 2.0], [0.01, 0.03])
    assert (told.scan, told.puts, round(told.slowest_put, 3), round(told.slowest_four, 3), told.quiet) == (2.0, 6, 1.0, 1.4, 0.03)


def test_of_fewer_than_four_the_slowest_alone() -> None:
    assert summed(0.1, [0.0, 0.1, 0.3], [0.01]).slowest_four == 0.3 - 0.1
