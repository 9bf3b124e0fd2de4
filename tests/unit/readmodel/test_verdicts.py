"""Verdicts, by property: against a model that simply remembers every commit it applied."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from events.envelope import Commit
from events.ids import StreamId, Version
from readmodel.verdicts import START, Position, Verdict, judge, well_formed

S = StreamId("comment-1")


def commit(first: int, last: int, previous: int) -> Commit:
    return Commit(S, Version(first), Version(last), Version(previous), Raw(b"[]"))


@st.composite
def chains(draw: st.DrawFn) -> list[tuple[Commit, str]]:
    """A stream as its store has it: commits of one to four events, each with its last command's id."""
    made, first, previous = [], 1, 0
    for number, size in enumerate(draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))):
        made.append((commit(first, first + size - 1, previous), f"c{number}"))
        previous, first = first, first + size
    return made


def after(chain: list[tuple[Commit, str]], count: int) -> Position:
    if count == 0:
        return START
    last, ident = chain[count - 1]
    return Position(last.last, last.first, ident)


@given(chains(), st.data())
def test_a_streams_own_commits_are_applied_known_or_missing_and_never_a_fork(chain: list[tuple[Commit, str]], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(chain)))
    for number, (each, ident) in enumerate(chain):
        expected = Verdict.DUPLICATE if number < count else Verdict.APPLY if number == count else Verdict.GAP
        assert judge(after(chain, count), each, ident) is expected
        assert judge(after(chain, count), each, ident, parked=True) is Verdict.PARKED
        assert well_formed(each)


@st.composite
def strangers(draw: st.DrawFn) -> tuple[Commit, str]:
    first = draw(st.integers(1, 40))
    other = commit(first, first + draw(st.integers(0, 4)), draw(st.integers(0, 40)))
    return other, draw(st.sampled_from(["c0", "c1", "other"]))


@given(chains(), strangers(), st.data())
def test_any_commit_that_contradicts_what_was_applied_is_a_fork(
    chain: list[tuple[Commit, str]],
    stranger: tuple[Commit, str],
    data: st.DataObject,
) -> None:
    count = data.draw(st.integers(0, len(chain)))
    position = after(chain, count)
    other, ident = stranger
    verdict = judge(position, other, ident)
    if verdict is Verdict.APPLY:
        assert (other.first, other.previous) == (position.version + 1, position.commit_first)
    elif verdict is Verdict.GAP:
        assert other.first > position.version + 1
        assert other.previous > position.version
    elif verdict is Verdict.DUPLICATE:
        assert other.last <= position.version
        assert other.last < position.commit_first or (other.first, ident) == (position.commit_first, position.head_id)
    else:
        overlaps = other.first <= position.version < other.last
        crosses = other.first <= position.version and position.commit_first <= other.last < position.version
        other_head = other.last == position.version and (other.first, ident) != (position.commit_first, position.head_id)
        broken = other.first == position.version + 1 and other.previous != position.commit_first
        reaches_back = other.first > position.version + 1 and other.previous <= position.version
        assert overlaps or crosses or other_head or broken or reaches_back


@given(chains(), st.randoms())
def test_in_any_order_and_however_often_a_stream_arrives_whole(chain: list[tuple[Commit, str]], dice: object) -> None:
    position, waiting = START, chain * 2
    dice.shuffle(waiting)  # type: ignore[attr-defined]
    while waiting:
        rest = []
        for each, ident in waiting:
            match judge(position, each, ident):
                case Verdict.APPLY:
                    position = Position(each.last, each.first, ident)
                case Verdict.GAP:
                    rest.append((each, ident))
                case verdict:
                    assert verdict is Verdict.DUPLICATE
        assert len(rest) < len(waiting)
        waiting = rest
    assert position == after(chain, len(chain))


def test_versions_that_are_no_commits() -> None:
    for first, last, previous in ((0, 1, 0), (-1, 1, 0), (2, 1, 1), (2, 2, 2), (2, 2, 0), (1, 1, 1), (3, 3, -1)):
        assert not well_formed(commit(first, last, previous))
