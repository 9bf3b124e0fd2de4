"""The built-in domain's part of the OpenAPI document."""

from typing import Any, Final

import msgspec

from gateway.comments.commands import ChangedComment, NewComment
from gateway.openapi import (
    COMMAND_PARAMETERS,
    HOLD_PARAMETERS,
    REF,
    Json,
    answer,
    command_responses,
    json_of,
    operation,
    path_parameter,
    problems,
    query_parameter,
)
from readmodel.answers import CommentPage, CommentView, PictureView

_COMMENT: Final = path_parameter("comment_id")
_PICTURE: Final = path_parameter("picture_id")
_SINGLE: Final = ("Headrace-Source", "Headrace-Token", "ETag")
_READ: Final = problems(404)


def schemas() -> Json:
    """Bodies and views."""
    _, found = msgspec.json.schema_components([NewComment, ChangedComment, CommentView, CommentPage, PictureView], ref_template=REF)
    text: Any = {"type": "string"}
    event = {
        "type": "object",
        "properties": {
            "version": {"type": "integer"},
            "name": text,
            "data": {"type": "object"},
            "at": {"type": "string", "format": "date-time"},
            "actor": text,
            "command_id": text,
        },
    }
    history = {"type": "object", "required": ["events"], "properties": {"events": {"type": "array", "items": event}}}
    return {**found, "History": history}


def paths() -> Json:
    """Commands and queries on the same paths."""
    return {
        "/pictures/{picture_id}/comments": {"post": _create(), "get": _list()},
        "/pictures/{picture_id}": {
            "get": operation(
                "getPicture",
                "A picture's sums",
                {"200": answer("The sums", json_of("PictureView"), ["Headrace-Source"])} | _READ,
                [_PICTURE, *HOLD_PARAMETERS],
            )
        },
        "/comments/{comment_id}": {"get": _get(), "patch": _update(), "delete": _delete()},
        "/comments/{comment_id}/history": {
            "get": operation(
                "getHistory",
                "Everything that happened to a comment",
                {"200": answer("Oldest first", json_of("History"), _SINGLE)} | _READ,
                [_COMMENT, *HOLD_PARAMETERS],
            )
        },
    }


def _create() -> Json:
    return operation(
        "createComment", "Comment on a picture", command_responses(creates=True), [_PICTURE, *COMMAND_PARAMETERS], json_of("NewComment")
    )


def _update() -> Json:
    return operation(
        "updateComment",
        "Change a comment's text",
        command_responses(creates=False),
        [_COMMENT, *COMMAND_PARAMETERS],
        json_of("ChangedComment"),
    )


def _delete() -> Json:
    return operation("deleteComment", "Delete a comment", command_responses(creates=False), [_COMMENT, *COMMAND_PARAMETERS])


def _get() -> Json:
    version = query_parameter("version", {"type": "integer"}, "As it was at this version")
    at = query_parameter("at", {"type": "string", "format": "date-time"}, "As it was at this time")
    found = answer("The comment", json_of("CommentView"), _SINGLE)
    return operation("getComment", "A comment", {"200": found} | _READ, [_COMMENT, version, at, *HOLD_PARAMETERS])


def _list() -> Json:
    limit = query_parameter("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 50}, "Comments on a page")
    cursor = query_parameter("cursor", {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}, "next_cursor of the page before")
    order = query_parameter("order", {"enum": ["newest", "oldest"], "default": "newest"}, "By creation")
    found = answer("One page", json_of("CommentPage"), ["Headrace-Source"])
    return operation("listComments", "A picture's comments", {"200": found} | _READ, [_PICTURE, limit, cursor, order, *HOLD_PARAMETERS])
