"""Pages of a picture's comments, and the cursors between them. Pure.

A cursor says after which comment the next page begins: (created_at, comment_id), bound to its picture and order. It is no
secret, only opaque: the checksum tells ours from anything else.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from events.ids import is_id
from readmodel.answers import CommentPage, CommentView, NewestComments
from runtime.times import Micros, parse_rfc3339

_FORMAT: Final = 1
_CHECKSUM: Final = 6
_HEAD: Final = 10  # format, order, eight bytes of microseconds
_LONGEST: Final = 400


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last comment of a page."""

    created_at: Micros
    comment_id: str
    newest: bool


@dataclass(frozen=True, slots=True)
class Page:
    """What is asked: up to `limit` comments, newest or oldest first, after `cursor`."""

    limit: int = 50
    newest: bool = True
    cursor: Cursor | None = None


def encode_cursor(cursor: Cursor, picture_id: str) -> str:
    """Of `A-Za-z0-9_-`."""
    head = bytes((_FORMAT, cursor.newest)) + cursor.created_at.to_bytes(8, "big", signed=True)
    payload = head + cursor.comment_id.encode()
    return urlsafe_b64encode(payload + _checksum(payload, picture_id)).decode().rstrip("=")


def decode_cursor(text: str, picture_id: str) -> Cursor:
    """Raises ValueError for anything that `encode_cursor` did not make for this picture."""
    if not 0 < len(text) <= _LONGEST or not text.isascii():
        raise ValueError("not a cursor")
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except Error as wrong:
        raise ValueError("not a cursor") from wrong
    payload, checksum = raw[:-_CHECKSUM], raw[-_CHECKSUM:]
    if len(payload) <= _HEAD or checksum != _checksum(payload, picture_id) or payload[0] != _FORMAT:
        raise ValueError("not a cursor of this picture")
    created_at = Micros(int.from_bytes(payload[2:_HEAD], "big", signed=True))
    cursor = Cursor(created_at, payload[_HEAD:].decode("ascii", "replace"), bool(payload[1]))
    if not is_id(cursor.comment_id) or encode_cursor(cursor, picture_id) != text:
        raise ValueError("not a cursor")
    return cursor


def _checksum(payload: bytes, picture_id: str) -> bytes:
    return blake2b(payload, digest_size=_CHECKSUM, key=b"headrace cursor", person=_person(picture_id)).digest()


def _person(picture_id: str) -> bytes:
    return blake2b(picture_id.encode(), digest_size=16).digest()


def page_of(comments: Sequence[CommentView], page: Page, picture_id: str, *, more: bool) -> CommentPage:
    """A page from comments in its order; `more`: there are others after them."""
    shown = list(comments[: page.limit])
    if not shown or not (more or len(comments) > page.limit):
        return CommentPage(shown, None)
    last = Cursor(parse_rfc3339(shown[-1].created_at), shown[-1].comment_id, page.newest)
    return CommentPage(shown, encode_cursor(last, picture_id))


def page_from_newest(held: NewestComments, page: Page, picture_id: str) -> CommentPage | None:
    """The page, when the newest comments cover it; else None."""
    if not page.newest and not held.complete:
        return None
    ordered = held.comments if page.newest else held.comments[::-1]
    if page.cursor is not None:
        ordered = [each for each in ordered if _after(each, page.cursor, newest=page.newest)]
    if len(ordered) >= page.limit or held.complete:
        return page_of(ordered, page, picture_id, more=not held.complete)
    return None


def _after(comment: CommentView, cursor: Cursor, *, newest: bool) -> bool:
    """In the order of the database: by time, then by id as bytes."""
    place = (parse_rfc3339(comment.created_at), comment.comment_id)
    return place < (cursor.created_at, cursor.comment_id) if newest else place > (cursor.created_at, cursor.comment_id)
