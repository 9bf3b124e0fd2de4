"""Comments' events into rows: the comment itself, and the sums of its picture. Pure."""

from typing import Any, Final

from events.comments.events import CommentCreated, CommentDeleted, CommentUpdated
from events.ids import stream_parts
from readmodel.comments.tables import COMMENTS, PICTURES
from readmodel.projection import NOTHING, Changes, Delta, Happened, Projection, Row
from runtime.times import to_datetime


def project(row: Row | None, happened: Happened) -> Changes:
    """Follows the decider's own `evolve`, so that the row is the fold of the stream."""
    event = happened.event
    if isinstance(event, CommentCreated):
        return _created(row, happened, event)
    if row is None:
        raise ValueError("a comment's history begins with its creation")
    at = to_datetime(happened.at)
    if isinstance(event, CommentUpdated):
        changed = {**row, "text": event.text, "updated_at": at, "correlation_id": happened.correlation}
        return Changes(changed, (_picture(row["picture_id"], {"revision": 1}),))
    if isinstance(event, CommentDeleted):
        changed = {**row, "deleted": True, "updated_at": at, "correlation_id": happened.correlation}
        gone = 0 if row["deleted"] else -1
        return Changes(changed, (_picture(row["picture_id"], {"comment_count": gone, "revision": 1}),))
    return NOTHING


def _created(row: Row | None, happened: Happened, event: CommentCreated) -> Changes:
    parts = stream_parts(happened.stream)
    if row is not None or parts is None:
        raise ValueError("a comment is created once, on a stream of its own")
    at = to_datetime(happened.at)
    created: dict[str, Any] = {
        "comment_id": parts.id,
        "picture_id": event.picture_id,
        "author": event.author,
        "text": event.text,
        "deleted": False,
        "created_at": at,
        "updated_at": at,
        "correlation_id": happened.correlation,
    }
    sums = Delta(PICTURES, event.picture_id, add={"comment_count": 1, "revision": 1}, highest={"last_commented_at": at})
    return Changes(created, (sums,))


def _picture(picture_id: str, add: dict[str, int]) -> Delta:
    return Delta(PICTURES, picture_id, add=add)


PROJECTION: Final = Projection("comments", (COMMENTS, PICTURES), project, home=COMMENTS, subject="picture_id")
