"""Counts requests on their way to AWS: a TCP proxy in a process of its own, so that every client, of whatever library, counts alike.

`python -m loadtest.bench.proxy LISTEN CONTROL HOST PORT`. Bytes pass as they are. A request is what a client begins to say after
it has heard an answer; nobody here pipelines. A connection to CONTROL gets the counts so far, by call, as one JSON line.
"""

import asyncio
import json
import sys
from collections import Counter
from typing import Final, cast

import uvloop

from headrace.local.ports import HOST

_HEAD: Final = 4096
"""Bytes of a request's beginning that are searched for the name of its call."""


class Counting:
    """What has passed, by `service.call`."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()


class Server(asyncio.Protocol):
    """The side of AWS."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class

    def data_received(self, data: bytes) -> None:
        self._client.answered(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._client.close()


class Client(asyncio.Protocol):
    """The side of whoever asks. What comes before the way to AWS is open waits here."""

    def __init__(self, counting: Counting, host: str, port: int) -> None:
        self._counting, self._address = counting, (host, port)
        self._transport: asyncio.Transport | None = None
        self._server: Server | None = None
        self._early: list[bytes] = []
        self._asking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        server = Server(self)
        try:
            await asyncio.get_running_loop().create_connection(lambda: server, *self._address)
        except OSError:
            self.close()
            return
        self._server = server
        for data in self._early:
            self._pass_on(data)
        if self._transport is None or self._transport.is_closing():
            self.connection_lost(None)

    def data_received(self, data: bytes) -> None:
        if not self._asking:
            self._asking = True
            self._counting.calls[call_of(data[:_HEAD])] += 1
        if self._server is None:
            self._early.append(data)
        else:
            self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        if self._server is not None and self._server.transport is not None:
            self._server.transport.write(data)

    def answered(self, data: bytes) -> None:
        """AWS said something: what the client says next is a new request."""
        self._asking = False
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._server is not None and self._server.transport is not None:
            self._server.transport.close()


def call_of(head: bytes) -> str:
    """`sqs.SendMessage`, `dynamodb.PutItem`, …: from the target header, else the query protocol's Action."""
    lower = head.lower()
    start = lower.find(b"x-amz-target:")
    if start >= 0:
        target = head[start + 13 : head.find(b"\r\n", start)].strip().decode("latin-1")
        service, _, call = target.rpartition(".")
        return f"{_service(service)}.{call}"
    start = head.find(b"Action=")
    if start >= 0:
        service = "sns" if b"/sns/" in lower else "sqs" if b"/sqs/" in lower else "query"
        end = min((at for at in (head.find(b"&", start), head.find(b" ", start)) if at >= 0), default=len(head))
        return f"{service}.{head[start + 7 : end].decode('latin-1')}"
    return "other"


def _service(target: str) -> str:
    if target.startswith("DynamoDBStreams"):
        return "dynamodbstreams"
    return "dynamodb" if target.startswith("DynamoDB") else "sqs" if target == "AmazonSQS" else target.lower()


async def main(listen: int, control: int, host: str, port: int) -> None:
    """Until killed."""
    counting = Counting()

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(counting.calls).encode() + b"\n")
        await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    told = await asyncio.start_server(tell, HOST, control)
    passed = await loop.create_server(lambda: Client(counting, host, port), HOST, listen, backlog=1024)
    async with told, passed:
        await passed.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
