"""What Redis keeps of comments: each comment by its version; of each picture its sums and its newest list, by its revision."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from events.ids import StreamId, stream_id, stream_parts
from readmodel.answers import CommentView, NewestComments, PictureView
from readmodel.comments import queries
from readmodel.comments.domain import DOMAIN
from readmodel.comments.tables import COMMENTS
from readmodel.entries import decoder
from readmodel.writing import any_stream

READ_COMMENT: Final = decoder(CommentView)
READ_PICTURE: Final = decoder(PictureView)
READ_NEWEST: Final = decoder(NewestComments)
Found = tuple[int, Any]
"""(version, view)."""


def comment_stream(comment_id: str) -> StreamId:
    return stream_id(DOMAIN.type, comment_id)


def comment_key(prefix: str, stream: str) -> str:
    return f"{prefix}comment:{stream}"


def picture_key(prefix: str, picture_id: str) -> str:
    return f"{prefix}picture:{picture_id}"


def newest_key(prefix: str, picture_id: str) -> str:
    return f"{prefix}newest:{picture_id}"


def is_comment(stream: StreamId) -> bool:
    parts = stream_parts(stream)
    return parts is not None and parts.type == DOMAIN.type


async def keys_of(connection: AsyncConnection, prefix: str, streams: Iterable[StreamId]) -> list[str]:
    """All keys in which a change of these streams shows; none for streams of other domains."""
    comments = [stream for stream in streams if is_comment(stream)]
    if not comments:
        return []
    pictures = {picture for (picture,) in await connection.execute(_PICTURES, {"streams": comments})}
    keys = [comment_key(prefix, stream) for stream in comments]
    for picture in sorted(pictures):
        keys += (picture_key(prefix, picture), newest_key(prefix, picture))
    return keys


_PICTURES: Final[Select[Any]] = select(COMMENTS.c.picture_id).where(COMMENTS.c.stream == any_stream()).distinct()


async def load_keys(connection: AsyncConnection, prefix: str, keys: Sequence[str]) -> dict[str, Found]:
    """What PostgreSQL has for each of these keys."""
    names: dict[str, list[str]] = {"comment": [], "picture": [], "newest": []}
    for key in keys:
        kind, _, name = key.removeprefix(prefix).partition(":")
        names[kind].append(name)
    found: dict[str, Found] = {}
    if names["comment"]:
        rows = await queries.comments_by_stream(connection, names["comment"])
        found |= {comment_key(prefix, stream): rows.get(stream, (0, None)) for stream in names["comment"]}
    if names["picture"]:
        sums = await queries.pictures(connection, names["picture"])
        found |= {picture_key(prefix, picture): each for picture, each in sums.items()}
    if names["newest"]:
        lists = await queries.newest(connection, names["newest"])
        found |= {newest_key(prefix, picture): each for picture, each in lists.items()}
    return found
