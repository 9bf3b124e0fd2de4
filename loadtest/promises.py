"""What readers may hold the read model to, from what writers were told: the least an answer may show, and the most. Pure.

A picture has at most `MOST` comments in its life, so that a reader can name all of them by their tokens and knows the whole of what it
must see. What is sent and not yet answered may show or not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

MOST: Final = 90


@dataclass(slots=True)
class Life:
    """One comment, as its writer knows it."""

    comment_id: str
    version: int = 0
    """The highest that a receipt told; 0: its creation is on its way."""
    deleting: bool = False
    """Its deletion was sent ..."""
    deleted: bool = False
    """... and applied."""

    @property
    def token(self) -> str:
        return f"comment-{self.comment_id}@{self.version}"


@dataclass(slots=True)
class Album:
    """One picture and all comments it ever had."""

    picture_id: str
    lives: list[Life] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """It takes no more comments."""
        return len(self.lives) >= MOST


class CommentPromise:
    """Made before a read of a comment, judged after it."""

    def __init__(self, life: Life) -> None:
        self._life, self._least, self._gone = life, life.version, life.deleted
        self.tokens = [life.token]

    def broken(self, version: int | None) -> str:
        """Why an answer (None: 404) is older than its token; empty when it is not."""
        if version is None:
            return "" if self._life.deleting else f"{self.tokens[0]} is not there"
        if self._gone:
            return f"{self.tokens[0]} was deleted, and is shown at {version}"
        return "" if version >= self._least else f"{self.tokens[0]} is shown at {version}"


class AlbumPromise:
    """Made before a read of a picture or its list, held to the tokens of these of its comments; judged after it."""

    def __init__(self, album: Album, lives: Iterable[Life]) -> None:
        self._album = album
        self._known = [(life, life.version, life.deleted) for life in lives if life.version]
        self.tokens = [life.token for life, _, _ in self._known]

    def miscounted(self, count: int) -> str:
        """Why a count cannot be; empty when it can."""
        least = sum(not life.deleting for life, _, _ in self._known)
        most = len(self._album.lives) - sum(gone for _, _, gone in self._known)
        return "" if least <= count <= most else f"{self._album.picture_id} counts {count} comments, not {least} to {most}"

    def mislisted(self, versions: Mapping[str, int]) -> str:
        """Why a whole list (comment id -> version) cannot be; empty when it can."""
        for life, least, gone in self._known:
            shown = versions.get(life.comment_id)
            if shown is None and not life.deleting:
                return f"{life.comment_id}@{least} is missing in the list of {self._album.picture_id}"
            if shown is not None and (gone or shown < least):
                return f"{life.comment_id}@{least}{' (deleted)' if gone else ''} is listed at {shown}"
        return self.miscounted(len(versions))
