"""The rules of a comment: state, evolve, decide. Pure; time comes in."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct, structs

from events.comments.commands import CreateComment, DeleteComment, UpdateComment
from events.comments.events import CommentCreated, CommentDeleted, CommentUpdated
from events.domain import Context, Decider, Rejection
from runtime.times import Micros


class Comment(Struct, frozen=True):
    """A comment as its events tell it."""

    picture_id: str
    author: str
    text: str
    created_at: Micros
    updated_at: Micros
    deleted: bool = False


Event = CommentCreated | CommentUpdated | CommentDeleted
AnyCommand = CreateComment | UpdateComment | DeleteComment


def evolve(comment: Comment | None, event: Event, at: Micros) -> Comment:
    """One step. A history that does not begin with a creation is not ours and raises."""
    if isinstance(event, CommentCreated):
        return Comment(event.picture_id, event.author, event.text, created_at=at, updated_at=at)
    if comment is None:
        raise ValueError("a comment's history begins with its creation")
    if isinstance(event, CommentUpdated):
        return structs.replace(comment, text=event.text, updated_at=at)
    return structs.replace(comment, deleted=True, updated_at=at)


def decide(command: AnyCommand, comment: Comment | None, context: Context) -> Sequence[Event]:
    """What a command does to a comment; Rejection when it may not."""
    if isinstance(command, CreateComment):
        return _create(command, comment, context)
    existing = _own(comment, context.actor)
    if isinstance(command, DeleteComment):
        return [CommentDeleted()]
    if command.text == existing.text:
        return []
    return [CommentUpdated(command.text)]


def _create(command: CreateComment, comment: Comment | None, context: Context) -> Sequence[Event]:
    if comment is not None and comment.deleted:
        raise Rejection("comment_deleted", "a deleted comment takes no more commands")
    if comment is not None:
        raise Rejection("comment_exists", "a comment with this id was created before")
    return [CommentCreated(command.picture_id, context.actor, command.text)]


def _own(comment: Comment | None, actor: str) -> Comment:
    if comment is None:
        raise Rejection("comment_not_found", "there is no comment with this id")
    if comment.deleted:
        raise Rejection("comment_deleted", "a deleted comment takes no more commands")
    if comment.author != actor:
        raise Rejection("not_the_author", "only the author updates or deletes a comment")
    return comment


DECIDER: Final = Decider(initial=None, decide=decide, evolve=evolve, state=Comment | None)
