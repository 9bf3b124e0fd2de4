"""What can happen to a comment, and under which names it is stored."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct


class CommentCreated(Struct, frozen=True):
    picture_id: str
    author: str
    text: str


class CommentUpdated(Struct, frozen=True):
    text: str


class CommentDeleted(Struct, frozen=True):
    pass


STORED: Final[Mapping[str, type[Struct]]] = {  # storage format: add lines, never rename one
    "comment.created.v1": CommentCreated,
    "comment.updated.v1": CommentUpdated,
    "comment.deleted.v1": CommentDeleted,
}
