"""A DynamoDB that answers at once, for measuring only: `python -m tests.support.recorded_store --comments N`.

It knows the stack's facts and the pages of a scan over N comments with random updates and deletes, made once at its start. Prints its
URL, and ends with its stdin.
"""

import argparse
import asyncio
import random
import sys
from collections.abc import Iterator
from typing import Final

import msgspec
from aiohttp import web
from msgspec import Struct

from events.comments.events import CommentCreated, CommentDeleted, CommentUpdated
from events.dynamo_items import to_item
from events.envelope import Commit
from runtime.stack import Stack
from tests.unit.readmodel.commits import chain, comment

PICTURES: Final = 5_000
TEXT: Final = "as long as what people write under a picture, more or less "
PAGE_BYTES: Final = 1_000_000
FACTS: Final = Stack(16, "transact:100", "", {})


def lives(comments: int, seed: int) -> Iterator[list[Commit]]:
    """Each stream's commits; the streams in no order."""
    numbers = list(range(comments))
    random.Random(seed).shuffle(numbers)
    for number in numbers:
        chance = random.Random(f"{seed}:{number}")
        events: list[Struct] = [CommentCreated(f"p{chance.randrange(PICTURES)}", f"author{chance.randrange(100)}", TEXT)]
        while chance.random() < 0.3:
            events.append(CommentUpdated(f"{TEXT}{len(events)}"))
        if chance.random() < 0.1:
            events.append(CommentDeleted())
        yield chain(comment(number), events, chance.choice((1, 1, 2)))


def pages(comments: int, seed: int) -> list[bytes]:
    """Answers of Scan; the key to go on from names the next one."""
    found: list[bytes] = []
    items: list[bytes] = []
    size = 0
    for life in lives(comments, seed):
        for each in life:
            items.append(msgspec.json.encode(to_item(each)))
            size += len(items[-1])
        if size > PAGE_BYTES:
            found.append(_page(items, len(found) + 1))
            items, size = [], 0
    return [*found, _page(items, 0)]


def _page(items: list[bytes], following: int) -> bytes:
    key = b',"LastEvaluatedKey":{"stream_id":{"S":"page"},"first_version":{"N":"%d"}}' % following if following else b""
    return b'{"Items":[%b]%b}' % (b",".join(items), key)


async def serve(comments: int, seed: int) -> None:
    """Until stdin ends."""
    recorded = pages(comments, seed)
    facts = msgspec.json.encode({"Item": {"id": {"S": "stack"}, "facts": {"S": msgspec.json.encode(FACTS).decode()}}})

    async def answer(request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read())
        scan = request.headers["X-Amz-Target"].endswith(".Scan")
        start = asked.get("ExclusiveStartKey", {"first_version": {"N": "0"}})
        body = recorded[int(start["first_version"]["N"])] if scan else facts
        return web.Response(body=body, content_type="application/x-amz-json-1.0")

    application = web.Application()
    application.router.add_post("/", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.recorded_store", description=__doc__)
    parser.add_argument("--comments", type=int, required=True)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    asyncio.run(serve(given.comments, given.seed))


if __name__ == "__main__":
    main()
