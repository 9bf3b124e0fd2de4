"""Pages into whole streams: whatever order they come in, nothing is taken for whole that is not, and nothing is forgotten."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from events.envelope import Commit
from readmodel.rebuilding.assembling import Assembly
from tests.unit.readmodel.commits import comment, history

LIVES = [history(comment(number), updates=number) for number in range(5)]


def assembled(pages: list[list[Commit]]) -> tuple[list[list[Commit]], set[str]]:
    assembly, whole, odd = Assembly(), list[list[Commit]](), set[str]()
    for done in [*(assembly.take(page) for page in pages), assembly.end()]:
        whole += done.whole
        odd |= done.odd
    return whole, odd


@given(st.lists(st.integers(0, 15), max_size=4))
def test_streams_one_behind_the_other_are_whole_wherever_pages_end(ends: list[int]) -> None:
    commits = [each for life in LIVES for each in life]
    cuts = sorted({0, len(commits), *(end for end in ends if end <= len(commits))})
    pages = [commits[start:end] for start, end in pairwise(cuts)]
    assert assembled(pages) == (LIVES, set())


@given(st.permutations([each for life in LIVES for each in life]), st.integers(1, 15))
def test_of_any_order_every_commit_is_in_a_whole_stream_or_its_stream_is_odd(commits: list[Commit], size: int) -> None:
    whole, odd = assembled([commits[start : start + size] for start in range(0, len(commits), size)])
    for stream in whole:
        assert stream == LIVES[int(stream[0].stream.removeprefix("comment-"))][: len(stream)]
    kept = {(each.stream, each.first) for stream in whole for each in stream}
    for each in commits:
        assert (each.stream, each.first) in kept or each.stream in odd


def test_a_page_that_comes_twice_makes_its_streams_odd_or_comes_as_whole_again() -> None:
    first, second = history(comment("a"), updates=1), history(comment("b"))
    whole, odd = assembled([first, first, second])
    assert odd == {comment("a")}
    assert whole == [first, second]
