"""Posts creations to a gateway over raw HTTP/1.1 connections that are kept; a client library would cost more than any role.

A burst keeps every connection busy; a paced round starts each post at its appointed time and counts from then, so that a stall is seen.
"""

import asyncio
import json
import time
from collections import deque
from typing import Final, cast
from urllib.parse import urlsplit

from headrace.errors import StackFailed
from loadtest.bench.job import Job, comment_id, picture_id

PACED_LINES: Final = 16
"""Each is used again before the gateway finds it idle."""
POST_SECONDS: Final = 300.0
_TAKEN, _BUSY, _LOST = 202, 503, 0
_AGAIN_SECONDS: Final = 0.05
_ATTEMPTS: Final = 200


class Caller:
    """`post` any number of times. Connections are new for each job: a server closes those that were idle for long."""

    def __init__(self, gateway: str) -> None:
        parts = urlsplit(gateway)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self.repeats = 0

    async def post(self, job: Job) -> dict[str, float]:
        """When each comment was submitted, in seconds since 1970, by comment id; all of them were answered 202. Raises StackFailed."""
        lines = [await self._line() for _ in range(min(job.in_flight, job.count, PACED_LINES if job.rate else job.count))]
        submitted: dict[str, float] = {}
        waiting = deque(range(job.count))
        began = time.time()
        try:
            async with asyncio.timeout(POST_SECONDS), asyncio.TaskGroup() as posting:
                for line in lines:
                    posting.create_task(self._one_after_another(line, job, waiting, (submitted, began)))
        finally:
            for line in lines:
                line.close()
        return submitted

    async def _line(self) -> "_Line":
        _, line = await asyncio.get_running_loop().create_connection(_Line, self._host, self._port)
        return line

    async def _one_after_another(self, line: "_Line", job: Job, waiting: deque[int], clock: tuple[dict[str, float], float]) -> None:
        submitted, began = clock
        while waiting:
            number = waiting.popleft()
            at = began + number / job.rate if job.rate else time.time()
            if at > time.time():
                await asyncio.sleep(at - time.time())
            submitted[comment_id(job, number)] = at
            line = await self._until_taken(line, job, number)
        line.close()

    async def _until_taken(self, line: "_Line", job: Job, number: int) -> "_Line":
        """A post that was not answered, or not now, is repeated under its key: it has one effect."""
        request = _request(f"{self._host}:{self._port}", job, number)
        for _ in range(_ATTEMPTS):
            status = await line.ask(request)
            if status == _TAKEN:
                return line
            if status not in {_BUSY, _LOST}:
                raise StackFailed(f"the gateway answered {status} to a creation: {line.said[:300]!r}")
            self.repeats += 1
            await asyncio.sleep(_AGAIN_SECONDS)
            if status == _LOST:
                line = await self._line()
        raise StackFailed(f"the gateway did not take a creation {_ATTEMPTS} times in a row")


class _Line(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.said = b""
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class

    async def ask(self, request: bytes) -> int:
        """The status; 0 when the connection is gone."""
        if self._transport is None or self._transport.is_closing():
            return _LOST
        self.said = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self.said += data
        status = whole(self.said)
        if status is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(status)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's shape
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(_LOST)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def whole(said: bytes) -> int | None:
    """The status of an answer that has arrived whole; None before that."""
    head, found, body = said.partition(b"\r\n\r\n")
    if not found:
        return None
    start = head.lower().find(b"content-length:")
    length = int(head[start + 15 :].partition(b"\r\n")[0]) if start >= 0 else 0
    return int(head[9:12]) if len(body) >= length else None


def _request(host: str, job: Job, number: int) -> bytes:
    name = comment_id(job, number)
    body = json.dumps({"text": job.text, "comment_id": name}).encode()
    return (
        f"POST /pictures/{picture_id(number)}/comments HTTP/1.1\r\nHost: {host}\r\nHeadrace-Actor: bench\r\nIdempotency-Key: {name}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
