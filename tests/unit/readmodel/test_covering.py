"""When a cached value may answer a read that is held to tokens."""

from events.ids import StreamId, Token, Version
from readmodel.covering import Covered
from readmodel.holds import NOTHING_HELD, Hold


def held(*tokens: tuple[str, int]) -> Hold:
    return Hold(tuple(Token(StreamId(stream), Version(version)) for stream, version in tokens))


def test_what_postgresql_has_shown_holds_from_then_on() -> None:
    covered = Covered()
    assert covered.covers("picture", 7, NOTHING_HELD)
    assert not covered.covers("picture", 7, held(("comment-1", 3)))
    covered.note("picture", 7, held(("comment-1", 3), ("comment-2", 1)))
    assert covered.covers("picture", 7, held(("comment-1", 3)))
    assert covered.covers("picture", 9, held(("comment-1", 2), ("comment-2", 1)))


def test_neither_an_older_value_nor_a_newer_token_nor_another_key_is_covered() -> None:
    covered = Covered()
    covered.note("picture", 7, held(("comment-1", 3)))
    assert not covered.covers("picture", 6, held(("comment-1", 3)))
    assert not covered.covers("picture", 7, held(("comment-1", 4)))
    assert not covered.covers("picture", 7, held(("comment-1", 3), ("comment-2", 1)))
    assert not covered.covers("another", 7, held(("comment-1", 3)))


def test_an_older_token_takes_nothing_back() -> None:
    covered = Covered()
    covered.note("picture", 7, held(("comment-1", 3)))
    covered.note("picture", 9, held(("comment-1", 2)))
    assert covered.covers("picture", 7, held(("comment-1", 3)))


def test_it_is_bounded() -> None:
    covered = Covered(most=2)
    for number in (1, 2):
        covered.note("picture", number, held((f"comment-{number}", 1)))
    assert covered.covers("picture", 9, held(("comment-1", 1)))  # used: the other one goes
    covered.note("picture", 3, held(("comment-3", 1)))
    assert [covered.covers("picture", 9, held((f"comment-{number}", 1))) for number in (1, 2, 3)] == [True, False, True]
