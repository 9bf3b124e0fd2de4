"""Shapes that others rely on: the API's JSON, and what the cache and its scripts agree on."""

from msgspec.json import encode

from readmodel import entries
from readmodel.answers import CommentPage, CommentView, PictureView
from readmodel.comments.cached import READ_COMMENT
from readmodel.control import schema_of

VIEW = CommentView("1", "p", "ann", "text", 3, "2026-01-31T23:59:59.000001Z", "2026-01-31T23:59:59.000002Z")
VIEW_JSON = (
    b'{"comment_id":"1","picture_id":"p","author":"ann","text":"text","version":3,'
    b'"created_at":"2026-01-31T23:59:59.000001Z","updated_at":"2026-01-31T23:59:59.000002Z"}'
)


def test_views_are_the_apis() -> None:
    assert encode(VIEW) == VIEW_JSON
    assert encode(PictureView("p", 0, None)) == b'{"picture_id":"p","comment_count":0,"last_commented_at":null}'
    assert encode(CommentPage([VIEW], None)) == b'{"comments":[' + VIEW_JSON + b'],"next_cursor":null}'


def test_a_cached_value_begins_with_format_and_version() -> None:
    value = entries.encode(3, VIEW)
    assert value == b'{"format":1,"version":3,"view":' + VIEW_JSON + b"}"
    entry = READ_COMMENT(value)
    assert entry is not None
    assert (entry.version, entry.view) == (3, VIEW)
    assert entries.version_of(value[:64]) == 3
    tombstone = READ_COMMENT(entries.encode(4, None))
    assert tombstone is not None
    assert (tombstone.version, tombstone.view) == (4, None)


def test_what_is_unreadable_is_nothing() -> None:
    for junk in (b"", b"{", b'{"format":2,"version":1,"view":null}', b'{"format":1,"version":1,"view":[]}'):
        assert READ_COMMENT(junk) is None
    for head in (b"", b'{"version":1,"format":1', b'{"format":2,"version":1,', None, "text", ValueError()):
        assert entries.version_of(head) is None


def test_names_that_are_stored() -> None:
    assert schema_of(1) == "rds_1"
    assert entries.prefix("headrace", 2) == "headrace:g2:"
