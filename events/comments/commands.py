"""What can be asked of a comment, with the limits of each field."""

from typing import Annotated, Final

from msgspec import Meta, Struct, structs

from events.domain import CommandType

MAX_TEXT: Final = 10_000
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~-]{1,128}\Z")]
Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]


class CreateComment(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    picture_id: Id
    text: Text
    comment_id: Id | None = None
    """None: the gateway chooses one, the same one for a repeat of the same command."""


class UpdateComment(Struct, frozen=True, forbid_unknown_fields=True):
    comment_id: Id
    text: Text


class DeleteComment(Struct, frozen=True, forbid_unknown_fields=True):
    comment_id: Id


def _target(command: CreateComment | UpdateComment | DeleteComment) -> str | None:
    return command.comment_id


def _assign(command: CreateComment, ident: str) -> CreateComment:
    return structs.replace(command, comment_id=ident)


COMMANDS: Final = {
    "comment.create": CommandType(CreateComment, _target, creates=True, assign=_assign),
    "comment.update": CommandType(UpdateComment, _target),
    "comment.delete": CommandType(DeleteComment, _target),
}
