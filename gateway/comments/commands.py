"""Comments in the language of the web: POST, PATCH and DELETE for the three commands."""

from typing import Final

from msgspec import Struct

from events.comments.commands import CreateComment, DeleteComment, Id, Text, UpdateComment
from events.ids import is_id
from gateway.answers import Answer
from gateway.commands import CommandRoutes
from gateway.identity import caller_of, new_key
from gateway.preparing import Preparer
from gateway.problems import malformed
from gateway.receipts import Locations
from gateway.requests import Request
from gateway.strict_json import read
from runtime.times import Clock

LOCATIONS: Final[Locations] = {"comment": "/comments/"}


class NewComment(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /pictures/{picture_id}/comments`."""

    text: Text
    comment_id: Id | None = None


class ChangedComment(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PATCH /comments/{comment_id}`."""

    text: Text


class CommentCommands:
    """Three routes."""

    def __init__(self, preparer: Preparer, routes: CommandRoutes, clock: Clock) -> None:
        self._preparer, self._routes, self._clock = preparer, routes, clock

    async def create(self, request: Request) -> Answer:
        """`comment.create`."""
        picture_id = path_id(request)
        body = read(await request.body(), NewComment)
        return await self._send("comment.create", CreateComment(picture_id, body.text, body.comment_id), request)

    async def update(self, request: Request) -> Answer:
        """`comment.update`."""
        comment_id = path_id(request)
        body = read(await request.body(), ChangedComment)
        return await self._send("comment.update", UpdateComment(comment_id, body.text), request)

    async def delete(self, request: Request) -> Answer:
        """`comment.delete`."""
        return await self._send("comment.delete", DeleteComment(path_id(request)), request)

    async def _send(self, name: str, data: Struct, request: Request) -> Answer:
        request.parameters()
        caller = caller_of(request)
        prepared = self._preparer.typed(name, data, caller, (new_key(), self._clock()))
        return await self._routes.send(prepared, caller.wait)


def path_id(request: Request) -> str:
    """The one id in the path."""
    (ident,) = request.parts
    if not is_id(ident):
        raise malformed("an id in the path must be 1-128 of A-Za-z0-9._~-")
    return ident
