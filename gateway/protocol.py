"""uvicorn's HTTP protocol with the bounds it lacks: size and slowness of headers, number of connections, bodies nobody reads.

What cannot even be parsed is answered here, as a problem like any other, and the connection closed.
"""

import asyncio
import os
import re
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.answers import Answer
from gateway.app import App
from gateway.bounds import BOUNDS
from gateway.problems import Problem, later
from gateway.prompt import UNUSUAL, PromptCycle
from gateway.routing import Found
from runtime.metrics import HTTP

MAX_HEADER_BYTES: Final = 64 * 1024
LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 4 * 1024 * 1024
"""Of a body that was answered before it was read: swallowed, so that the caller sees the answer and not a reset."""
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (/[^ ]*) HTTP/1\.[01]\r?\n")

_PLAIN_PATH: Final = re.compile(rb"/[!-\"$->@-~]{0,2047}")
"""Neither query nor fragment, and nothing to decode but percents; a very long one is the parser's to refuse."""


class GatewayProtocol(HttpToolsProtocol):
    """One connection."""

    bounds = BOUNDS
    _begun = False
    """Bytes of a request came, but not yet all its headers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_bytes = 0
        self._in_headers = True
        self._in_body = False
        self._swallowed = 0
        self._route: Found | None = None
        """Of a request that can be answered at once if all of it is there when this turn's bytes are parsed."""
        self._body = b""
        self._ready: PromptCycle | None = None
        """It was all there."""
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.bounds.connections:
            self._refuse(later("unavailable", "too many connections"))
            return
        self._arm(self.bounds.header_seconds, self._headers_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._taken()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_body and self.cycle.response_complete:
            self._swallowed += len(data)
            if self._swallowed > LINGER_BYTES:
                self.transport.close()
                return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserInvalidMethodError:
            self._unknown_method(data)
        except httptools.HttpParserError:
            self.send_400_response("the request is not HTTP")
        except httptools.HttpParserUpgrade:  # nothing to upgrade to: answered as it is; the parser is of no use after it
            self.cycle.keep_alive = False
        else:
            if self._in_headers:
                self._count_headers(len(data))
        self._start()

    def _start(self) -> None:
        """What these bytes brought of a request that might be answered at once."""
        if self._ready is not None:
            ready, self._ready = self._ready, None
            if self.transport.is_closing():  # what came behind it was refused, and with that it was answered, too
                ready.drop()
            else:
                ready.advance()
        elif self._route is not None:
            self._take_its_time()

    def _count_headers(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(Problem("headers_too_large"))
        elif self._timer is None and self._begun:
            self._arm(self.bounds.header_seconds, self._headers_late)

    def on_message_begin(self) -> None:
        self.url, self.headers = b"", []  # uvicorn's scope is made for those who need one
        self._in_headers = self._begun = True
        self._header_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def _ordinary(self) -> None:
        """The headers are there: from here on uvicorn's own way."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        self.scope["state"]["abort"] = self.transport.abort  # for an answer without an end whose caller does not take it
        super().on_headers_complete()

    def on_headers_complete(self) -> None:
        self._in_headers, self._in_body, self._begun = False, True, False
        self._swallowed = 0
        self._disarm()
        self._route = self._prompt_route()
        if self._route is None:
            self._ordinary()

    def _prompt_route(self) -> Found | None:
        """Only when nothing else is under way on this connection, and nothing unusual was asked for."""
        cycle: RequestResponseCycle | None = self.cycle
        under_way = cycle is not None and not cycle.response_complete
        if under_way or self.flow.write_paused or not UNUSUAL.isdisjoint(dict(self.headers)) or not _PLAIN_PATH.fullmatch(self.url):
            return None
        return self._app.prompt(self.parser.get_method().decode("ascii"), self.url)

    def _take_its_time(self) -> None:
        """More of the body is still to come: an ordinary request after all."""
        self._route, body, self._body = None, self._body, b""
        self._ordinary()
        if body:
            super().on_body(body)

    def on_body(self, body: bytes) -> None:
        if self._route is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        self._in_body = False
        self._disarm()
        if self._route is None:
            super().on_message_complete()
            return
        answer = self._app.at_once(self._route, {"headers": self.headers}, self._body)
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        self._ready = PromptCycle(answer, self._write, keep_alive=keep_alive)
        self.cycle, self._route, self._body = self._ready, None, b""  # type: ignore[assignment]

    def _write(self, cycle: PromptCycle, answer: Answer | None) -> None:
        """A prompt answer, unless its caller is gone; None: there is none, and the connection ends."""
        cycle.response_started = cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return
        if answer is not None:
            self.transport.write(cycle.head_and_body(answer))
        if answer is None or not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():  # its own body, not the next one's
            self._arm(LINGER_SECONDS, self.transport.close)

    def pause_writing(self) -> None:
        """So much is written that nobody read: not for ever."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.bounds.write_seconds, self._not_taken)

    def resume_writing(self) -> None:
        """The caller reads."""
        self._taken()
        super().resume_writing()

    def _taken(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _not_taken(self) -> None:
        if self._in_body:
            self._unread = self.loop.call_later(self.bounds.write_seconds, self._not_taken)
            return
        self._unread = None
        self.transport.abort()

    def _headers_late(self) -> None:
        self._timer = None
        if self._begun:
            self._refuse(Problem("request_timeout", "the headers came too slowly"))
        else:
            self.transport.close()

    @property
    def _app(self) -> App:
        return self.config.app  # type: ignore[return-value]

    def _unknown_method(self, data: bytes) -> None:
        """The parser knows a fixed list of methods; any other token is a method that is not allowed here."""
        line = _REQUEST_LINE.match(data)
        if line is None or line[1].upper() in (b"GET", b"POST"):
            self.send_400_response("the request is not HTTP")
            return
        allow = self._app.allow(line[2].partition(b"?")[0])
        self._refuse(Problem("method_not_allowed", headers=((b"allow", allow),)) if allow else Problem("not_found"))

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem("malformed", msg))

    def _refuse(self, problem: Problem) -> None:
        """Answer without an application, unless an answer is already on its way, and close."""
        self._disarm()
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            HTTP.counts["", str(problem.status)] += 1
            self.transport.write(problem.alone(os.urandom(16).hex()))
        if cycle is not None:
            cycle.disconnected = True  # whoever still works on it must not write any more
            cycle.message_event.set()
        self.transport.close()

    def _arm(self, seconds: float, then: Any) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, then)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
