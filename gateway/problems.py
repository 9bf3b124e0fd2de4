"""What a caller is told when something is wrong: RFC 9457 problems with a stable `code`, and never anything internal."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

CONTENT_TYPE: Final = b"application/problem+json"

CODES: Final[Mapping[str, tuple[int, str]]] = {  # a contract: add lines, never rename one
    "malformed": (400, "The request is not well formed"),
    "limit": (400, "A value is outside its limits"),
    "unknown_command": (400, "There is no such command"),
    "token_beyond_store": (400, "The token promises more than was ever stored"),
    "not_found": (404, "There is nothing here"),
    "unknown_command_id": (404, "No command is known by this id on this stream"),
    "method_not_allowed": (405, "The method is not allowed here"),
    "request_timeout": (408, "The request did not arrive in time"),
    "command_id_reused": (409, "The id was used for another command"),
    "version_conflict": (412, "The stream is at another version"),
    "too_large": (413, "The request or its command is too large"),
    "unsupported_media_type": (415, "The body is of a type or encoding not taken here"),
    "headers_too_large": (431, "The request's headers are too many or too large"),
    "failed": (500, "The command failed"),
    "internal": (500, "Something went wrong here"),
    "buffer_full": (503, "Too much is waiting to be sent"),
    "unavailable": (503, "Something this answer needs is away"),
    "not_yet": (503, "The read model has not seen the token yet"),
    "stream_parked": (503, "The read model has parked this stream"),
}
DOMAIN_STATUS: Final = 422
"""Of every reason that a domain gives for its no."""


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """An answer that ends a request. `extra` are further members of the body; `headers` go on the answer."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        **extra: Any,
    ) -> None:
        super().__init__(detail or code)
        self.code, self.detail, self.headers, self.extra = code, detail, headers, extra
        self.status, self.title = CODES.get(code, (DOMAIN_STATUS, "The command was refused"))

    def body(self, correlation_id: str) -> bytes:
        """The JSON of the answer."""
        members = {
            "type": f"urn:headrace:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail or self.title,
            "correlation_id": correlation_id,
        }
        return msgspec.json.encode(members | self.extra)

    def alone(self, correlation_id: str) -> bytes:
        """The whole answer in HTTP, after which the connection closes: for what no application answers."""
        body = self.body(correlation_id)
        headers = [(b"content-type", CONTENT_TYPE), (b"content-length", b"%d" % len(body)), (b"connection", b"close"), *self.headers]
        head = b"HTTP/1.1 %d %s\r\n" % (self.status, phrase(self.status).encode())
        return head + b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n" + body


def malformed(detail: str, **extra: Any) -> Problem:
    """The commonest of them."""
    return Problem("malformed", detail, **extra)


def later(code: str, detail: str = "", seconds: int = 1) -> Problem:
    """A 503 that says when to come again."""
    return Problem(code, detail, headers=((b"retry-after", str(seconds).encode()),))


def phrase(status: int) -> str:
    """`Not Found` for 404."""
    return HTTPStatus(status).phrase
