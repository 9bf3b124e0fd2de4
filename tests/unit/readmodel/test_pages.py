"""Cursors and pages."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from readmodel.answers import CommentView, NewestComments
from readmodel.pages import Cursor, Page, decode_cursor, encode_cursor, page_from_newest, page_of
from runtime.times import Micros, rfc3339

IDS = st.text(string.ascii_letters + string.digits + "._~-", min_size=1, max_size=128)
CURSORS = st.builds(Cursor, st.integers(-(2**60), 2**60).map(Micros), IDS, st.booleans())


def view(number: int, at: int | None = None) -> CommentView:
    when = rfc3339(Micros(1_700_000_000_000_000 + (number if at is None else at)))
    return CommentView(f"c{number:04}", "p", "ann", "text", 1, when, when)


@given(CURSORS, IDS)
def test_a_cursor_comes_back_as_it_was(cursor: Cursor, picture: str) -> None:
    text = encode_cursor(cursor, picture)
    assert set(text) <= set(string.ascii_letters + string.digits + "_-")
    assert decode_cursor(text, picture) == cursor


@given(CURSORS, IDS, IDS)
def test_a_cursor_is_bound_to_its_picture(cursor: Cursor, picture: str, other: str) -> None:
    if picture != other:
        with pytest.raises(ValueError, match="cursor"):
            decode_cursor(encode_cursor(cursor, picture), other)


@given(CURSORS, st.data())
def test_a_cursor_with_any_letter_changed_is_none(cursor: Cursor, data: st.DataObject) -> None:
    text = encode_cursor(cursor, "p")
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from(sorted(set(string.ascii_letters + string.digits + "_-=+/ ") - {text[place]})))
    with pytest.raises(ValueError, match="cursor"):
        decode_cursor(text[:place] + letter + text[place + 1 :], "p")


@given(st.text(max_size=600))
def test_anything_else_is_no_cursor(text: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        decode_cursor(text, "p")


@given(st.integers(0, 30), st.integers(1, 12), st.booleans(), st.booleans())
def test_pages_from_the_cached_list_are_those_of_the_whole(total: int, limit: int, newest: bool, same_time: bool) -> None:
    """With the newest ten cached: where the list answers, it answers as the database would."""
    alive = [view(number, 0 if same_time else None) for number in range(total)]
    ordered = alive[::-1] if newest else alive
    held = NewestComments(alive[::-1][:10], complete=total <= 10)
    start, page = 0, Page(limit, newest)
    while True:
        whole = page_of(ordered[start : start + limit + 1], page, "p", more=False)
        cached = page_from_newest(held, page, "p")
        if cached is None:
            assert total > 10
        else:
            assert cached == whole
        if whole.next_cursor is None:
            return
        start += limit
        page = Page(limit, newest, decode_cursor(whole.next_cursor, "p"))
