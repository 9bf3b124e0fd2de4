"""Every format the read side hands out or keeps in Redis, as bytes: today's code reads each, and writes exactly it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from readmodel.answers import CommentView, NewestComments, PictureView
from readmodel.comments.cached import READ_COMMENT, READ_NEWEST, READ_PICTURE
from readmodel.entries import Entry, encode
from readmodel.pages import Cursor, decode_cursor, encode_cursor
from runtime.times import parse_rfc3339

GOLDEN = Path(__file__).parents[2] / "golden"
AT = "2026-01-31T23:59:59.000001Z"
COMMENT = CommentView("c1", "p1", "ada", 'שלום 🌊 "x"\n', 3, AT, "2026-02-01T00:00:00.000002Z")
VALUES: list[tuple[str, int, Any, Callable[[bytes], Entry | None]]] = [
    ("cached_comment.json", 3, COMMENT, READ_COMMENT),
    ("cached_tombstone.json", 4, None, READ_COMMENT),
    ("cached_picture.json", 7, PictureView("p1", 2, AT), READ_PICTURE),
    ("cached_newest.json", 7, NewestComments([COMMENT], complete=True), READ_NEWEST),
]
CURSOR = Cursor(parse_rfc3339(AT), "c1", newest=True)


@pytest.mark.parametrize(("name", "version", "view", "read"), VALUES, ids=[each[0] for each in VALUES])
def test_a_cached_value_of_version_one_is_read_and_written(
    name: str, version: int, view: Any, read: Callable[[bytes], Entry | None]
) -> None:
    kept = (GOLDEN / name).read_bytes()
    entry = read(kept)
    assert entry is not None
    assert (entry.version, entry.view) == (version, view)
    assert encode(version, view) == kept


def test_a_cursor_of_version_one_is_read_and_written() -> None:
    kept = (GOLDEN / "cursor.txt").read_text()
    assert decode_cursor(kept, "p1") == CURSOR
    assert encode_cursor(CURSOR, "p1") == kept
