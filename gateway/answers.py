"""What a handler returns: a whole answer, or one that is written as it comes to be."""

from collections.abc import AsyncGenerator
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


class Stream(NamedTuple):
    """Chunked; each piece is written when it is there."""

    status: int
    headers: list[Header]
    pieces: AsyncGenerator[bytes, None]


def json_answer(body: Any, *headers: Header, status: int = 200) -> Answer:
    """Anything msgspec encodes."""
    return Answer(status, [JSON, *headers], ENCODER.encode(body))
