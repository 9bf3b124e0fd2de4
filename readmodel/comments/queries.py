"""What is asked of PostgreSQL about comments. Each is one statement, hence one snapshot: a list and its revision agree."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final

from sqlalchemy import ARRAY, Column, Row, Select, Text, and_, bindparam, func, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from readmodel.answers import CommentView, NewestComments, PictureView
from readmodel.comments.tables import COMMENTS, PICTURES
from readmodel.pages import Page
from readmodel.writing import given, of_streams
from runtime.times import from_datetime, rfc3339, to_datetime

NEWEST: Final = 100
"""Comments in a picture's cached list, ..."""
NEWEST_CHARACTERS: Final = 200_000
"""... or fewer, when their texts are longer than this together: a value stays below a megabyte, whatever people write."""
_SHOWN: Final = tuple(COMMENTS.c[name] for name in ("comment_id", "picture_id", "author", "text", "version", "created_at", "updated_at"))
_PICTURE: Final = (PICTURES.c.comment_count, PICTURES.c.last_commented_at, PICTURES.c.revision)


def comment_view(row: Any) -> CommentView:
    """From a row of COMMENTS."""
    return CommentView(
        row.comment_id,
        row.picture_id,
        row.author,
        row.text,
        row.version,
        rfc3339(from_datetime(row.created_at)),
        rfc3339(from_datetime(row.updated_at)),
    )


def picture_view(picture_id: str, row: Any) -> PictureView:
    """From a row of PICTURES, or from one whose columns are null: a picture nobody commented on."""
    last = row.last_commented_at
    return PictureView(picture_id, row.comment_count or 0, None if last is None else rfc3339(from_datetime(last)))


async def comments_by_stream(connection: AsyncConnection, streams: Sequence[str]) -> dict[str, tuple[int, CommentView | None]]:
    """Version and view of each that is there; no view of a deleted one."""
    found = await connection.execute(of_streams(COMMENTS), {"streams": list(streams)})
    return {row.stream: (row.version, None if row.deleted else comment_view(row)) for row in found}


async def picture(connection: AsyncConnection, picture_id: str) -> tuple[int, PictureView]:
    """Revision and view."""
    return (await pictures(connection, [picture_id]))[picture_id]


async def pictures(connection: AsyncConnection, picture_ids: Sequence[str]) -> dict[str, tuple[int, PictureView]]:
    """Revision and view of every picture asked for."""
    wanted = select(PICTURES.c.picture_id, *_PICTURE).where(PICTURES.c.picture_id == func.any(bindparam("pictures", type_=ARRAY(Text()))))
    found = {
        row.picture_id: (row.revision, picture_view(row.picture_id, row))
        for row in await connection.execute(wanted, {"pictures": list(picture_ids)})
    }
    return {each: found.get(each, (0, PictureView(each, 0, None))) for each in picture_ids}


async def newest(connection: AsyncConnection, picture_ids: Sequence[str]) -> dict[str, tuple[int, NewestComments]]:
    """Revision and newest comments of every picture asked for."""
    rows: dict[str, list[Row[Any]]] = {each: [] for each in picture_ids}
    for row in await connection.execute(_newest(), {"picture_id": list(picture_ids)}):
        rows[row.wanted].append(row)
    return {each: _as_newest(found) for each, found in rows.items()}


def _as_newest(rows: Sequence[Row[Any]]) -> tuple[int, NewestComments]:
    found = [row for row in rows if row.comment_id is not None]
    lengths = accumulate(len(row.text) for row in found[:NEWEST])
    most = max(1, sum(length <= NEWEST_CHARACTERS for length in lengths))
    revision = (rows[0].revision or 0) if rows else 0
    return revision, NewestComments([comment_view(row) for row in found[:most]], complete=len(found) <= most)


@lru_cache
def _newest() -> Select[Any]:
    wanted = given([Column("picture_id", Text)])
    listed = (
        select(*_SHOWN)
        .where(COMMENTS.c.picture_id == wanted.c.picture_id, ~COMMENTS.c.deleted)
        .order_by(COMMENTS.c.created_at.desc(), COMMENTS.c.comment_id.desc())
        .limit(NEWEST + 1)
        .lateral("listed")
    )
    joined = wanted.outerjoin(PICTURES, PICTURES.c.picture_id == wanted.c.picture_id).outerjoin(listed, true())
    columns = [column for column in listed.c if column.name != "picture_id"]
    return (
        select(wanted.c.picture_id.label("wanted"), *_PICTURE, *columns, listed.c.picture_id)
        .select_from(joined)
        .order_by(wanted.c.picture_id, listed.c.created_at.desc(), listed.c.comment_id.desc())
    )


async def page(connection: AsyncConnection, picture_id: str, asked: Page) -> tuple[int, list[CommentView]]:
    """Revision, and one comment more than asked for when there are others after them."""
    rows = (await connection.execute(_page(asked), _page_values(picture_id, asked))).all()
    return (rows[0].revision or 0) if rows else 0, [comment_view(row) for row in rows if row.comment_id is not None]


def _page(asked: Page) -> Select[Any]:
    place = tuple_(COMMENTS.c.created_at, COMMENTS.c.comment_id)
    conditions: list[Any] = [COMMENTS.c.picture_id == bindparam("picture"), ~COMMENTS.c.deleted]
    if asked.cursor is not None:
        limit = tuple_(bindparam("at", type_=COMMENTS.c.created_at.type), bindparam("id", type_=Text()))
        conditions.append(place < limit if asked.newest else place > limit)
    order: Iterable[Any] = (COMMENTS.c.created_at, COMMENTS.c.comment_id)
    if asked.newest:
        order = [column.desc() for column in order]
    listed = select(*_SHOWN).where(and_(*conditions)).order_by(*order).limit(bindparam("many")).subquery("listed")
    one = select(bindparam("picture", type_=Text()).label("picture_id")).subquery("wanted")
    joined = one.outerjoin(PICTURES, PICTURES.c.picture_id == one.c.picture_id).outerjoin(listed, true())
    shown = [listed.c.created_at, listed.c.comment_id]
    return (
        select(PICTURES.c.revision, *listed.c)
        .select_from(joined)
        .order_by(*([column.desc() for column in shown] if asked.newest else shown))
    )


def _page_values(picture_id: str, asked: Page) -> dict[str, Any]:
    values: dict[str, Any] = {"picture": picture_id, "many": asked.limit + 1}
    if asked.cursor is not None:
        values |= {"at": to_datetime(asked.cursor.created_at), "id": asked.cursor.comment_id}
    return values
