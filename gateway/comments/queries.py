"""What can be asked: comments, pictures, and a comment's past."""

import re
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from events.domain import Registry
from events.ids import StreamId, Token, Version, parse_token, stream_id
from events.store import EventStore
from gateway.answers import Answer, Header, json_answer
from gateway.comments.commands import path_id
from gateway.identity import seconds
from gateway.problems import Problem, malformed
from gateway.requests import Request
from readmodel import answers as views
from readmodel.errors import TokenBeyondStore
from readmodel.holds import Hold
from readmodel.pages import Cursor, Page, decode_cursor
from readmodel.timetravel import comment_as_of
from readmodel.timetravel import history as history_of
from runtime.times import Micros, parse_rfc3339

MAX_HOLD: Final = 10.0
DEFAULT_HOLD: Final = 1.0
MAX_TOKENS: Final = 100
LIMITS: Final = range(1, 101)
DEFAULT_LIMIT: Final = 50
_VERSION: Final = re.compile(r"-?[0-9]{1,40}")
_DIGITS: Final = re.compile(r"[0-9]{1,9}")
_HOLD: Final = ("after",)
_ORDERS: Final = {"newest": True, "oldest": False}
_T = TypeVar("_T")


class Reads(Protocol):
    """What the read model answers; see readmodel.reads."""

    async def comment(self, comment_id: str, hold: Hold) -> views.Answer[views.CommentView]: ...

    async def picture(self, picture_id: str, hold: Hold) -> views.Answer[views.PictureView]: ...

    async def comments(self, picture_id: str, page: Page, hold: Hold) -> views.Answer[views.CommentPage]: ...


class CommentQueries:
    """Four routes."""

    def __init__(self, reads: Reads, store: EventStore, registry: Registry) -> None:
        self._reads, self._store, self._registry = reads, store, registry

    async def comment(self, request: Request) -> Answer:
        """A comment as it is, or as it was (`version`, `at`)."""
        comment_id = path_id(request)
        given = request.parameters(once=("wait", "version", "at"), many=_HOLD)
        hold = _hold(given)
        if "version" in given or "at" in given:
            return await self._as_of(comment_id, given, hold)
        answer = await self._reads.comment(comment_id, hold)
        if answer.value is None:
            raise Problem("not_found", headers=(_source(answer.source),))
        return json_answer(answer.value, _source(answer.source), *_versioned(comment_id, answer.value.version))

    async def _as_of(self, comment_id: str, given: dict[str, list[str]], hold: Hold) -> Answer:
        if "version" in given and "at" in given:
            raise malformed("version and at exclude one another")
        stream = stream_id("comment", comment_id)
        await self._within_store(hold.after)
        if "version" in given:
            version = _version(given["version"][0])
            view = await comment_as_of(self._store, self._registry, stream, version=version) if version else None
        else:
            view = await comment_as_of(self._store, self._registry, stream, at=_at(given["at"][0]))
        if view is None:
            raise Problem("not_found", headers=(_source("events"),))
        return json_answer(view, _source("events"), *_versioned(comment_id, view.version))

    async def history(self, request: Request) -> Answer:
        """Everything that happened to a comment."""
        comment_id = path_id(request)
        await self._within_store(_hold(request.parameters(once=("wait",), many=_HOLD)).after)
        events = await history_of(self._store, self._registry, stream_id("comment", comment_id))
        if not events:
            raise Problem("not_found", headers=(_source("events"),))
        return json_answer({"events": events}, _source("events"), *_versioned(comment_id, len(events)))

    async def picture(self, request: Request) -> Answer:
        """A picture's sums; one nobody commented on has none."""
        picture_id = path_id(request)
        hold = _hold(request.parameters(once=("wait",), many=_HOLD))
        answer = await self._reads.picture(picture_id, hold)
        return json_answer(_there(answer.value), *_list_headers(answer.source, answer.version))

    async def comments(self, request: Request) -> Answer:
        """A page of a picture's comments."""
        picture_id = path_id(request)
        given = request.parameters(once=("wait", "limit", "cursor", "order"), many=_HOLD)
        hold, page = _hold(given), _page(given, picture_id)
        answer = await self._reads.comments(picture_id, page, hold)
        return json_answer(_there(answer.value), *_list_headers(answer.source, answer.version))

    async def _within_store(self, tokens: Sequence[Token]) -> None:
        """The store itself is never behind a token; it can only have been promised too much."""
        for token in tokens:
            if await self._store.last_version(token.stream) < token.version:
                raise TokenBeyondStore(token.stream)


def _hold(given: dict[str, list[str]]) -> Hold:
    after = given.get("after", [])
    if len(after) > MAX_TOKENS:
        raise Problem("limit", f"at most {MAX_TOKENS} tokens")
    tokens = tuple(token for token in map(parse_token, after) if token is not None)
    if len(tokens) != len(after):
        raise malformed("after must be a token: stream@version")
    return Hold(tokens, seconds(given["wait"][0], MAX_HOLD) if "wait" in given else DEFAULT_HOLD)


def _page(given: dict[str, list[str]], picture_id: str) -> Page:
    limit = given.get("limit", [str(DEFAULT_LIMIT)])[0]
    if not _DIGITS.fullmatch(limit) or int(limit) not in LIMITS:
        raise Problem("limit", "limit must be a whole number from 1 to 100")
    cursor = _cursor(given, picture_id)
    newest = cursor.newest if cursor else True
    if "order" in given:
        if given["order"][0] not in _ORDERS:
            raise malformed("order must be newest or oldest")
        newest = _ORDERS[given["order"][0]]
        if cursor is not None and cursor.newest != newest:
            raise malformed("cursor is of the other order")
    return Page(int(limit), newest, cursor)


def _cursor(given: dict[str, list[str]], picture_id: str) -> Cursor | None:
    if "cursor" not in given:
        return None
    try:
        return decode_cursor(given["cursor"][0], picture_id)
    except ValueError:
        raise malformed("cursor is not one of this list") from None


def _version(text: str) -> Version | None:
    """None for a number that no stream's version can be."""
    if not _VERSION.fullmatch(text):
        raise malformed("version must be a whole number")
    number = int(text)
    return Version(number) if 1 <= number < 2**63 else None


def _at(text: str) -> Micros:
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError):
        raise malformed("at must be an RFC 3339 time with a zone") from None


def _versioned(comment_id: str, version: int) -> tuple[Header, Header]:
    token = Token(StreamId(stream_id("comment", comment_id)), Version(version))
    return (b"etag", b'"%d"' % version), (b"headrace-token", str(token).encode())


def _list_headers(source: str, version: int | None) -> list[Header]:
    headers = [_source(source)]
    return headers if version is None else [*headers, (b"etag", b'"%d"' % version)]


def _source(source: str) -> Header:
    return b"headrace-source", source.encode()


def _there(value: _T | None) -> _T:
    if value is None:
        raise Problem("not_found")
    return value
