"""One HTTP/1.1 connection: one request at a time, kept alive, its answers parsed by httptools."""

import asyncio
from typing import Final, NamedTuple, cast

import httptools

from gateway.calling.failures import NotOurs

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of one answer; a gateway's are far smaller."""


class Answer(NamedTuple):
    """Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Lost(ConnectionError):  # noqa: N818 - as runtime.errors names its own
    """The connection ended before the answer was whole."""


class Connection(asyncio.Protocol):
    """`ask` only while it is not `busy`; `usable` says whether it may be asked again."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._keep = True
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0

    @property
    def usable(self) -> bool:
        """It is open and its last answer was whole."""
        return self._keep and self._answer is None and self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> Answer:
        """Raises Lost, and NotOurs for an answer that is not HTTP. Cancelled, it closes the connection: an answer would come too late."""
        if self._transport is None or self._transport.is_closing():
            raise Lost("closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        except BaseException:
            self.close()
            raise
        finally:
            self._answer = None

    def close(self) -> None:
        """At once."""
        self._keep = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(Lost(str(exc) if exc else "closed by the gateway"))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as wrong:
            self._fail(NotOurs(f"not HTTP/1.1: {wrong}"))
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools'."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """httptools'."""
        self._size += len(body)
        if self._size > MAX_ANSWER:
            self._fail(NotOurs(f"an answer of more than {MAX_ANSWER} bytes"))
            self.close()
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """httptools'."""
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue and its like: the answer follows
            self._begin()
            return
        answer = Answer(status, self._headers, b"".join(self._body))
        self._keep = self._parser.should_keep_alive()
        self._begin()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)
        else:
            self.close()  # nobody asked

    def _fail(self, why: Exception) -> None:
        self._keep = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(why)
