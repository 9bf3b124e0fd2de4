"""Posts creations through the batch route: a few requests at once, each with hundreds of lines."""

import asyncio
import json
import time
from collections import deque
from typing import Final
from urllib.parse import urlsplit

from headrace.errors import StackFailed
from loadtest.bench.job import Job, comment_id, picture_id

LINES: Final = 250
"""Of one request."""
POST_SECONDS: Final = 300.0
_PENDING: Final = b'"status":"pending"'


class BatchCaller:
    """`post` any number of times; like `caller.Caller`, for whom a request is a command."""

    def __init__(self, gateway: str) -> None:
        parts = urlsplit(gateway)
        self._host, self._port = parts.hostname or "", parts.port or 80

    async def post(self, job: Job) -> dict[str, float]:
        """When each comment was submitted, in seconds since 1970, by comment id; all of them were accepted. Raises StackFailed."""
        submitted: dict[str, float] = {}
        size = 1 if job.rate else min(LINES, -(-job.count // 4))
        parts = deque(range(start, min(start + size, job.count)) for start in range(0, job.count, size))
        began = time.time()

        async def one_after_another() -> None:
            while parts:
                part = parts.popleft()
                at = began + part.start / job.rate if job.rate else time.time()
                await asyncio.sleep(max(0.0, at - time.time()))
                submitted.update((comment_id(job, number), at) for number in part)
                await self._post(job, part)

        async with asyncio.timeout(POST_SECONDS), asyncio.TaskGroup() as posting:
            for _ in range(max(1, job.in_flight // size)):
                posting.create_task(one_after_another())
        return submitted

    async def _post(self, job: Job, part: range) -> None:
        body = b"".join(_line(job, number) for number in part)
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(
                f"POST /commands/batch HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nHeadrace-Actor: bench\r\nConnection: close\r\n"
                f"Content-Type: application/x-ndjson\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            said = await reader.read()
        finally:
            writer.close()
        if said.count(_PENDING) != len(part):
            raise StackFailed(f"the gateway did not take {len(part)} creations: {said[:300]!r}")


def _line(job: Job, number: int) -> bytes:
    name = comment_id(job, number)
    data = {"picture_id": picture_id(number), "text": job.text, "comment_id": name}
    return json.dumps({"name": "comment.create", "data": data, "id": name}).encode() + b"\n"
