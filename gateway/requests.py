"""One HTTP request as handlers see it: headers, parameters and a body that is never read beyond its limit.

A header or parameter that may stand once and stands twice is refused; so is a parameter that the route does not know.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl

from gateway.problems import Problem, malformed

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY: Final = 256 * 1024
MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 32 * 1024
MAX_PARAMETERS: Final = 128
READ_SECONDS: Final = 10.0
SLOWEST: Final = 64 * 1024
"""Bytes a second below which a body is too slow, after its first ten seconds."""
CLOSE: Final = (b"connection", b"close")

_ONCE: Final = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"headrace-actor",
        b"idempotency-key",
        b"if-match",
        b"last-event-id",
        b"traceparent",
    }
)
_CHARSET: Final = re.compile(r'charset\s*=\s*"?([^";\s]*)"?', re.IGNORECASE)


class Disconnected(Exception):  # noqa: N818
    """The caller went away before its request was complete: there is nobody to answer."""


class Request:
    """`headers` are by lower-case name, the last of a repeated one; those that may stand only once do."""

    __slots__ = ("_read_seconds", "_receive", "_whole", "headers", "parts", "raw_headers", "scope")

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        parts: tuple[str, ...],
        read_seconds: float = READ_SECONDS,
        whole: bytes | None = None,
    ) -> None:
        self.scope, self._receive, self.parts, self._read_seconds, self._whole = scope, receive, parts, read_seconds, whole
        """`parts` are the variable parts of the path, percent-decoded; `whole` is the body when all of it is there."""
        self.raw_headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.headers: dict[bytes, bytes] = dict(self.raw_headers)
        if len(self.raw_headers) > MAX_HEADERS or sum(map(_size, self.raw_headers)) > MAX_HEADER_BYTES:
            raise Problem("headers_too_large", headers=(CLOSE,))
        if len(self.headers) != len(self.raw_headers):
            self._no_repeats()

    def _no_repeats(self) -> None:
        seen: set[bytes] = set()
        for name, _ in self.raw_headers:
            if name in seen and name in _ONCE:
                raise malformed(f"the header {name.decode('latin-1')} stands twice")
            seen.add(name)

    def header(self, name: bytes) -> str | None:
        """A header's value, without blanks around it."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1").strip(" \t")

    def listed(self, name: bytes) -> str:
        """A list header that may be repeated, joined as RFC 9110 says."""
        return ", ".join(value.decode("latin-1") for each, value in self.raw_headers if each == name)

    def parameters(self, *, once: Iterable[str] = (), many: Iterable[str] = ()) -> dict[str, list[str]]:
        """The query's parameters; Problem when one is unknown, or repeated without leave."""
        query: bytes = self.scope.get("query_string", b"")
        found: dict[str, list[str]] = {}
        if not query:
            return found
        try:
            pairs = parse_qsl(
                query.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MAX_PARAMETERS
            )
        except ValueError:
            raise malformed("the query string is not well formed") from None
        for name, value in pairs:
            if name not in once and name not in many:
                raise malformed(f"unknown query parameter {name[:64]!r}")
            found.setdefault(name, []).append(value)
        for name in once:
            if len(found.get(name, ())) > 1:
                raise malformed(f"the query parameter {name} stands twice")
        return found

    async def body(self, content_types: tuple[bytes, ...] = (b"application/json",), limit: int = MAX_BODY) -> bytes:
        """The whole body. Problems: 415, 413 (at once when announced), 408."""
        self._check(content_types, limit)
        if self._whole is not None:
            return self._whole  # as long as it was announced to be
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout_at(started + self._read_seconds) as deadline:
                message = await self._next()
                if not message.get("more_body"):
                    whole: bytes = message.get("body", b"")
                    return whole if len(whole) <= limit else self._over(limit)
                body = bytearray(message.get("body", b""))
                while message.get("more_body"):
                    if len(body) > limit:
                        self._over(limit)
                    deadline.reschedule(started + self._read_seconds + len(body) / SLOWEST)
                    message = await self._next()
                    body += message.get("body", b"")
        except TimeoutError:
            raise too_slow() from None
        return bytes(body) if len(body) <= limit else self._over(limit)

    def pieces(self, content_types: tuple[bytes, ...], limit: int) -> "Pieces":
        """The body as it comes. Problems at once: 415, 413 when announced; `limit` is otherwise the reader's own affair."""
        self._check(content_types, limit)
        return Pieces(self._next, self._read_seconds)

    async def gone(self) -> None:
        """Raises Disconnected when the caller goes away; what it still sends is not looked at."""
        while True:
            await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        return message

    def _over(self, limit: int) -> bytes:
        raise too_large(limit)

    def _check(self, content_types: tuple[bytes, ...], limit: int) -> None:
        self._check_kind(content_types)
        announced = self.headers.get(b"content-length")
        if announced is not None and (not announced.isdigit() or len(announced) > 19 or int(announced) > limit):
            raise too_large(limit)

    def _check_kind(self, content_types: tuple[bytes, ...]) -> None:
        given = self.headers.get(b"content-type", b"")
        if given not in content_types:
            kind, _, rest = given.partition(b";")
            charset = _CHARSET.search(rest.decode("latin-1"))
            if kind.strip().lower() not in content_types or (charset and charset[1].lower() not in ("utf-8", "utf8")):
                expected = content_types[0].decode()
                raise Problem("unsupported_media_type", f"the body must be {expected} in UTF-8")
        encoding = self.headers.get(b"content-encoding", b"identity")
        if encoding.strip().lower() not in (b"identity", b""):
            raise Problem("unsupported_media_type", "the body must not be compressed")


class Pieces:
    """A body that is read piece by piece. Not to ask for the next one is what slows a caller down: nothing is read ahead of it."""

    def __init__(self, receive: Receive, read_seconds: float) -> None:
        self._receive, self._allowed = receive, read_seconds
        self._loop = asyncio.get_running_loop()
        self._more = True
        self._ends = float("inf")
        self._asking: asyncio.Timeout | None = None
        self.waited = 0.0
        """Seconds in which the caller was waited for: what it is given grows with every byte, and stands still while nobody asks."""

    async def next(self) -> bytes:
        """b"" is the end. Raises Disconnected; Problem `request_timeout` when it is too slow, `unavailable` after `end_at`."""
        piece = b""
        while self._more and not piece:
            began = self._loop.time()
            try:
                async with asyncio.timeout_at(min(began + self._allowed - self.waited, self._ends)) as self._asking:
                    message = await self._receive()
            except TimeoutError:
                raise stopping() if self._loop.time() >= self._ends else too_slow() from None
            finally:
                self._asking = None
                self.waited += self._loop.time() - began
            piece, self._more = message.get("body", b""), message.get("more_body", False)
            self._allowed += len(piece) / SLOWEST
        return piece

    def end_at(self, when: float) -> None:
        """The process is about to stop: nothing is waited for after `when` (the loop's time)."""
        self._ends = when
        if self._asking is not None:
            self._asking.reschedule(min(when, self._asking.when() or when))

    async def gone(self) -> None:
        """After the end of the body: raises Disconnected when the caller goes away; returns when the server cannot tell."""
        await self._receive()


def too_slow() -> Problem:
    return Problem("request_timeout", "the body came too slowly", headers=(CLOSE,))


def stopping() -> Problem:
    return Problem("unavailable", "this gateway is stopping; post the rest again", headers=(CLOSE, (b"retry-after", b"1")))


def too_large(limit: int) -> Problem:
    return Problem("too_large", f"the body may be at most {limit} bytes")


def _size(header: tuple[bytes, bytes]) -> int:
    return len(header[0]) + len(header[1]) + 4  # ": " and the line's end
