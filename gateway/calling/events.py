"""Server-sent events out of pieces as they come. Pure."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway.calling.failures import NotOurs

MAX_BLOCK: Final = 16 * 1024 * 1024
"""Bytes of one event; a gateway's are far smaller."""


class Block(NamedTuple):
    """One event. `id`: where to resume behind it."""

    id: str
    name: str
    data: bytes


class Blocks:
    """Of one connection; `last_id` outlives blocks without data, which make no event."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[Block]:
        """Events that are complete with this piece; take them all. Raises NotOurs."""
        *blocks, self._rest = (self._rest + piece).split(b"\n\n")
        if len(self._rest) > MAX_BLOCK:
            raise NotOurs(f"an event of more than {MAX_BLOCK} bytes")
        for block in blocks:
            found = self._block(block)
            if found is not None:
                yield found

    def _block(self, block: bytes) -> Block | None:
        name, data = "message", []
        for line in block.split(b"\n"):
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"id":
                self.last_id = value.decode("latin-1")
            elif field == b"event":
                name = value.decode(errors="replace")
            elif field == b"data":
                data.append(value)
        return Block(self.last_id, name, b"\n".join(data)) if data else None
