"""A server on a real socket that answers by a script: what a client of the gateway may meet."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def lines(self) -> list[dict[str, Any]]:
        """Of a batch."""
        return [json.loads(line) for line in self.body.splitlines()]


Reply = Callable[[Asked], bytes]
"""What is written; nothing more comes, and the connection ends, where it does not end with a whole answer."""


@dataclass
class ScriptedGateway:
    """`script`: what the next requests are answered, one after the other; then `always`."""

    always: Reply
    script: list[Reply] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a request came that will never be answered."""
    open: set[asyncio.Task[None]] = field(default_factory=set)

    async def end(self) -> None:
        """Close what is still open."""
        for task in self.open:
            task.cancel()
        await asyncio.gather(*self.open, return_exceptions=True)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self.open.add(task)
        task.add_done_callback(self.open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                asked = await _read(reader)
                self.asked.append(asked)
                reply = (self.script.pop(0) if self.script else self.always)(asked)
                if reply == SILENCE:
                    self.held.set()
                    await reader.read()
                    return
                writer.write(reply)
                await writer.drain()
                if b"connection: close" in reply or b"\r\n\r\n" not in reply:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


SILENCE = b"..."


def answer(status: int, body: object, **headers: str) -> Reply:
    """A whole answer, the same for whoever asks."""
    return lambda _: whole(status, json.dumps(body).encode(), **headers)


def whole(status: int, body: bytes, **headers: str) -> bytes:
    """An answer's bytes."""
    given = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{given}content-length: {len(body)}\r\n\r\n".encode() + body


def receipt(asked: Asked) -> bytes:
    """202 for a single post, 200 and a receipt a line for a batch."""
    if asked.path.endswith("/batch"):
        return whole(200, b"".join(json.dumps(pending(line["id"])).encode() + b"\n" for line in asked.lines()))
    return whole(202, json.dumps(pending(json.loads(asked.body)["id"])).encode())


def pending(command_id: str) -> dict[str, str]:
    """A receipt."""
    return {"command_id": command_id, "stream": "comment-1", "status": "pending", "status_url": f"/commands/{command_id}?stream=comment-1"}


@asynccontextmanager
async def scripted(*script: Reply, always: Reply = receipt) -> AsyncIterator[ScriptedGateway]:
    """Up until the end of the block."""
    gateway = ScriptedGateway(always, list(script))
    server = await asyncio.start_server(gateway.accept, "127.0.0.1", 0)
    gateway.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield gateway
    finally:
        server.close()
        await gateway.end()
        await server.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return Asked(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
