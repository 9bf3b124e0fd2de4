"""What a query answers: a view, the tier it came from, and its version. The views' JSON is the API's."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")
CACHE: Final = "cache"
DATABASE: Final = "database"


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """`value` is None for what is not there; `version` is the stream's, or the revision of a picture's list."""

    value: T | None
    source: str
    version: int | None


class CommentView(Struct, frozen=True):
    comment_id: str
    picture_id: str
    author: str
    text: str
    version: int
    created_at: str
    updated_at: str


class PictureView(Struct, frozen=True):
    picture_id: str
    comment_count: int
    last_commented_at: str | None


class CommentPage(Struct, frozen=True):
    comments: list[CommentView]
    next_cursor: str | None


class NewestComments(Struct, frozen=True):
    """A picture's newest comments as the cache keeps them. `complete`: the picture has no others."""

    comments: list[CommentView]
    complete: bool
