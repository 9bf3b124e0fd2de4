"""An event store that answers at once, for measuring what reads it whole: `python -m loadtest.recorded_pages PORT EVENTS`.

It knows Scan and DescribeTable. Its pages, of the size DynamoDB's have, were recorded in the API's own form when it starts, some twenty of
them; each is given out again and again with other ids in the place of a mark. The mix is create=70, update=20, delete=10, a commit each.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import uvloop
from msgspec import Raw, Struct

from events.comments.events import CommentCreated, CommentDeleted, CommentUpdated
from events.dynamo_items import to_item
from events.envelope import ENCODER, Commit, Recorded
from events.ids import CommandId, Fingerprint, StreamId, Version
from readmodel.domains import registry
from runtime.settings import Settings
from runtime.times import Micros

PAGE_BYTES: Final = 1_000_000
TEMPLATES: Final = 20
PICTURES: Final = 1_000
MARK: Final = b"@@@@@@"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.I)
_T0: Final = 1_700_000_000_000_000
_REGISTRY: Final = registry(Settings())


class Template(Struct):
    """A page, without its end; how many events, streams, and comments not deleted it has."""

    items: bytes
    events: int = 0
    streams: int = 0
    left: int = 0


def templates() -> list[Template]:
    """The same every time."""
    lives = _lives()
    return [_template(lives) for _ in range(TEMPLATES)]


def pages_of(events: int, made: list[Template]) -> int:
    """How many pages hold at least so many events."""
    pages = 0
    while events > 0:
        events -= made[pages % TEMPLATES].events
        pages += 1
    return pages


def _template(lives: Iterator[list[dict[str, Any]]]) -> Template:
    page, items, size = Template(b""), list[bytes](), 0
    while size < PAGE_BYTES:
        life = lives.__next__()
        made = [msgspec.json.encode(item) for item in life]
        items += made
        size += sum(map(len, made))
        page.events += len(life)
        page.streams += 1
        page.left += len(life) < 3
    page.items = b",".join(items)
    return page


def _lives() -> Iterator[list[dict[str, Any]]]:
    """Items of one stream after the other: of seven, two are updated, one of them and another are deleted; as 70 to 20 to 10."""
    number = 0
    while True:
        stream = StreamId(f"comment-{MARK.decode()}{number:026}")
        author = f"author-{number % 997}"
        picture = f"picture-{number * 7919 % PICTURES}"
        life: list[Struct] = [CommentCreated(picture, author, f"the text of comment {number}, as long as such texts are, more or less")]
        if number % 7 < 2:
            life.append(CommentUpdated(f"another text of comment {number}, as long as such texts are, more or less"))
        if number % 7 == 0:
            life.append(CommentDeleted())
        yield [dict(to_item(_commit(stream, version, event, author))) for version, event in enumerate(life, 1)]
        number += 1


def _commit(stream: StreamId, version: int, event: Struct, author: str) -> Commit:
    name, data = _REGISTRY.write(event)
    command = CommandId(f"{version:032}")
    recorded = Recorded(name, data, Micros(_T0 + version * 1_000), author, command, Fingerprint("0123456789abcdef"))
    return Commit(stream, Version(version), Version(version), Version(version - 1), Raw(ENCODER.encode([recorded])))


class _Store(asyncio.Protocol):
    """Requests one after the other."""

    def __init__(self, made: list[Template], pages: int) -> None:
        self._made, self._pages = made, pages
        self._held = bytearray()

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]  # of TCP it is one
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._held, 0, end + 2)
        size = end + 4 + (int(length[1]) if length else 0)
        if len(self._held) >= size:
            request = bytes(self._held[:size])
            del self._held[:size]
            body = self._scan(json.loads(request[end + 4 :])) if b".Scan\r\n" in request else self._about()
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: %d\r\n\r\n"
            self._transport.writelines([head % len(body), body])

    def _scan(self, asked: dict[str, Any]) -> bytes:
        start = asked.get("ExclusiveStartKey")
        segments = asked["TotalSegments"]
        page = asked["Segment"] if start is None else int(start["first_version"]["N"]) + segments
        if page >= self._pages:
            return b'{"Items":[],"Count":0,"ScannedCount":0}'
        items = self._made[page % TEMPLATES].items.replace(MARK, b"%06d" % (page // TEMPLATES))
        key = b'{"stream_id":{"S":"comment"},"first_version":{"N":"%d"}}' % page
        consumed = b'{"TableName":"recorded","CapacityUnits":%.1f}' % (len(items) / 4096)
        return b'{"Items":[%b],"LastEvaluatedKey":%b,"ConsumedCapacity":%b}' % (items, key, consumed)

    def _about(self) -> bytes:
        items = sum(self._made[page % TEMPLATES].events for page in range(self._pages))
        return b'{"Table":{"TableName":"recorded","ItemCount":%d}}' % items


async def serve(port: int, events: int) -> None:
    """Until the process ends; says when it is there."""
    made = templates()
    pages = pages_of(events, made)
    server = await asyncio.get_running_loop().create_server(lambda: _Store(made, pages), "127.0.0.1", port)
    print("recorded", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
