"""The built-in domain's part of the OpenAPI document."""

from typing import Any, Final

import msgspec

from gateway.comments.commands import ChangedComment, NewComment
from gateway.openapi import (
    COMMAND_PARAMETERS,
    HOLD_PARAMETERS,
    ID,
    REF,
    Json,
    answer,
    command_responses,
    json_of,
    operation,
    path_parameter,
    problems,
    query_parameter,
    ref,
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
    event: Json = {
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
    change = {
        "type": "object",
        "description": "The `data` of an event of the feed",
        "required": ["stream", *event["properties"]],
        "properties": {"stream": text, **event["properties"], "picture_id": text},
    }
    return {**found, "History": history, "Change": change}


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
        "/events": {"get": _events()},
    }


def _events() -> Json:
    last: Json = {
        "name": "Last-Event-ID",
        "in": "header",
        "schema": {"type": "string"},
        "description": "The last id had; goes before `since`",
    }
    picture = query_parameter("picture_id", {"type": "string", "pattern": ID}, "Changes of this picture's comments only")
    since = query_parameter("since", {"type": "string"}, "An event's id, or an RFC 3339 time: from there on. Without: from now on")
    content = {"text/event-stream": {"schema": {"type": "string"}, "x-data": ref("Change")}}
    about = (
        "Server-sent events without an end, resumable by `Last-Event-ID`: `event` is the event's name, `data` a Change as one line of "
        "JSON, `id` where to resume. `event: reset` says that changes were missed which are no longer kept. A heartbeat every 15 seconds "
        "is a comment and an id"
    )
    responses = {"200": answer(about, content)} | problems(404)
    return operation("followChanges", "Changes as they become visible in queries", responses, [last, picture, since])


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
