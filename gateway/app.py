"""The ASGI application: finds the handler, and makes answers of problems, in one place."""

import os
from collections.abc import Sequence
from typing import Final

from gateway.answers import Answer, Stream
from gateway.identity import trace_of
from gateway.problems import CONTENT_TYPE, Problem, later
from gateway.requests import READ_SECONDS, Disconnected, Receive, Request, Scope, Send
from gateway.routing import Handler, Route, Table
from readmodel.errors import NotYet, StreamParked
from runtime.errors import Rejected, Retryable
from runtime.logs import get
from runtime.metrics import HTTP

PARKED_SECONDS: Final = 30
_LOG: Final = get("http")


class App:
    """Callable as ASGI 3. `read_seconds` is for a body to begin to come; see `requests` for how slow it may be."""

    def __init__(self, routes: Sequence[Route], read_seconds: float = READ_SECONDS) -> None:
        self._table, self._read_seconds = Table(routes), read_seconds
        self._counted = {(route.path, 202): HTTP.labels(route.path, 202) for route in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path, answer = await self._answer(scope, receive)
        if answer is None:
            return
        self._count(path, answer.status)
        if isinstance(answer, Stream):
            await _write_stream(answer, send)
            return
        answer.headers.append((b"content-length", b"%d" % len(answer.body)))
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[str, Answer | Stream | None]:
        """(the route's path, the answer or None when nobody is there any more)."""
        place, parts = self._table.find(scope["raw_path"])
        if place is None:
            return "", _answer_of(Problem("not_found"), scope)
        found = place.handlers.get(scope["method"])
        if found is None:
            return place.path, _answer_of(Problem("method_not_allowed", headers=((b"allow", place.allow),)), scope)
        try:
            return place.path, await _handled(found[0], Request(scope, receive, parts + found[1], self._read_seconds))
        except Disconnected:
            return place.path, None
        except Problem as problem:
            return place.path, _answer_of(problem, scope)

    def allow(self, raw_path: bytes) -> bytes | None:
        """What `Allow` says of a path; None when there is nothing at it."""
        place, _ = self._table.find(raw_path)
        return place.allow if place else None

    def _count(self, path: str, status: int) -> None:
        counted = self._counted.get((path, status))
        if counted is None:
            counted = self._counted[path, status] = HTTP.labels(path, status)
        counted.inc()


async def _handled(handler: Handler, request: Request) -> Answer | Stream:
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
