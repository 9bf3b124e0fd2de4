"""The ASGI application: finds the handler, and makes answers of problems, in one place."""

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from gateway.answers import Answer, Header, Stream
from gateway.identity import trace_of
from gateway.problems import CONTENT_TYPE, Problem, later
from gateway.requests import READ_SECONDS, Disconnected, Message, Receive, Request, Scope, Send
from gateway.routing import Found, Route, Table
from readmodel.errors import NotYet, StreamParked
from runtime.errors import Rejected, Retryable
from runtime.logs import get
from runtime.metrics import HTTP

PARKED_SECONDS: Final = 30
_LOG: Final = get("http")
_A = TypeVar("_A", Answer, Answer | Stream)


class App:
    """Callable as ASGI 3. `read_seconds` is for a body to begin to come; see `requests` for how slow it may be."""

    def __init__(self, routes: Sequence[Route], read_seconds: float = READ_SECONDS) -> None:
        self._table, self._read_seconds = Table(routes), read_seconds
        for route in routes:
            HTTP.counts[route.path, "202"] += 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path, answer = await self._answer(scope, receive)
        if answer is None:
            return
        HTTP.counts[path, str(answer.status)] += 1
        if isinstance(answer, Stream):
            await _write_stream(answer, send)
            return
        answer.headers.append(_length(answer))
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[str, Answer | Stream | None]:
        """(the route's path, the answer or None when nobody is there any more)."""
        place, parts = self._table.find(scope["raw_path"])
        if place is None:
            return "", _answer_of(Problem("not_found"), scope)
        served = place.served.get(scope["method"])
        if served is None:
            return place.path, _answer_of(Problem("method_not_allowed", headers=((b"allow", place.allow),)), scope)
        try:
            return place.path, await _handled(served.handler, Request(scope, receive, parts + served.named, self._read_seconds))
        except Disconnected:
            return place.path, None
        except Problem as problem:
            return place.path, _answer_of(problem, scope)

    def prompt(self, method: str, raw_path: bytes) -> Found | None:
        """The route of a request that `at_once` may answer once all of it is there; None for any other."""
        place, parts = self._table.find(raw_path)
        served = place.served.get(method) if place else None
        if place is None or served is None or served.prompt is None:
            return None
        return Found(place.path, served.prompt, parts + served.named)

    async def at_once(self, found: Found, scope: Scope, body: bytes) -> Answer:
        """The same answer as any request gets, to one whose body is all there. Awaits nothing but futures."""
        try:
            answer = await _handled(found.handler, Request(scope, _no_more, found.parts, self._read_seconds, body))
        except Problem as problem:
            answer = _answer_of(problem, scope)
        HTTP.counts[found.path, str(answer.status)] += 1
        answer.headers.append(_length(answer))
        return answer

    def allow(self, raw_path: bytes) -> bytes | None:
        """What `Allow` says of a path; None when there is nothing at it."""
        place, _ = self._table.find(raw_path)
        return place.allow if place else None


async def _no_more() -> Message:
    raise Disconnected


def _length(answer: Answer) -> Header:
    return (b"content-length", b"%d" % len(answer.body))


async def _handled(handler: Callable[[Request], Awaitable[_A]], request: Request) -> _A:
    """Errors of ours that stand for an answer become problems; anything else is `internal`, and logged."""
    try:
        return await handler(request)
    except (Problem, Disconnected):
        raise
    except NotYet:
        raise later("not_yet") from None
    except StreamParked:
        raise later("stream_parked", seconds=PARKED_SECONDS) from None
    except Rejected as no:
        raise Problem(no.reason, no.detail) from None
    except Retryable as away:
        _LOG.warning("answer not possible", action="answer", error=type(away).__name__)
        raise later("unavailable") from None
    except Exception as wrong:  # noqa: BLE001 - a bug of ours is this caller's 500, not everybody's end
        _LOG.exception("answer failed", action="answer", error=type(wrong).__name__)
        raise Problem("internal") from None


def _answer_of(problem: Problem, scope: Scope) -> Answer:
    trace = next((trace_of(value)[0] for name, value in scope["headers"] if name == b"traceparent"), "")
    correlation = trace or str(problem.extra.get("command_id") or os.urandom(16).hex())
    return Answer(problem.status, [(b"content-type", CONTENT_TYPE), *problem.headers], problem.body(correlation))


async def _write_stream(answer: Stream, send: Send) -> None:
    async def write(piece: bytes) -> None:
        await send({"type": "http.response.body", "body": piece, "more_body": True})

    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await answer.body(write)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
