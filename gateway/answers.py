"""What a handler returns: a whole answer, or one that is written as it comes to be."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import msgspec

Header = tuple[bytes, bytes]
JSON: Final[Header] = (b"content-type", b"application/json")
NDJSON: Final[Header] = (b"content-type", b"application/x-ndjson")
ENCODER: Final = msgspec.json.Encoder()


class Answer(NamedTuple):
    """Complete; `headers` lack only the length."""

    status: int
    headers: list[Header]
    body: bytes


Write = Callable[[bytes], Awaitable[None]]
"""Returns when the piece is on its way; not before the caller took most of what was written earlier."""


class Stream(NamedTuple):
    """Chunked; `body` writes each piece when it is there, and returns at the end."""

    status: int
    headers: list[Header]
    body: Callable[[Write], Awaitable[None]]


def json_answer(body: Any, *headers: Header, status: int = 200) -> Answer:
    """Anything msgspec encodes."""
    return Answer(status, [JSON, *headers], ENCODER.encode(body))
