"""A backend service that posts commands and does not wait: captions for pictures, as another system makes them.

Reads one JSON object a line from stdin, `{"id", "picture", "text"}`, posts a comment for each, and says on stdout which are safely on their
way. It may be killed and started again with the same lines, and the gateway may go away and come back: each caption becomes one comment,
since the line's own id is the command's.

    python captions.py http://127.0.0.1:8080 < captions.jsonl
"""

import asyncio
import json
import sys
from collections import deque
from collections.abc import AsyncIterator

from gateway.client import Client, Command


async def captions() -> AsyncIterator[Command]:
    """The work, as it comes."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        work = json.loads(line)
        yield Command("comment.create", {"picture_id": work["picture"], "text": work["text"]}, id=work["id"])


async def main(gateway: str) -> None:
    last: deque[str] = deque(maxlen=1)
    async with Client(gateway, actor="captions") as client:
        session = client.session()
        async for receipt in client.batch(captions()):
            if receipt.status == "refused":  # wrong in itself: for people to look at
                print("refused", receipt.command_id, receipt.code, receipt.detail, flush=True)
                continue
            session.remember(receipt)
            last.append(receipt.stream)
            print("accepted", receipt.command_id, flush=True)
        for stream in last:  # a read through the session never shows less than what it wrote
            comment = await session.comment(stream.removeprefix("comment-"))
            print("last", comment.text if comment else None, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
