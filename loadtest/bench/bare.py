"""The least an ASGI server can do with a creation: read the body, decode it, answer 202. `python -m loadtest.bench.bare PORT`."""

import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import uvicorn

from headrace.local.ports import HOST


class Creation(msgspec.Struct, forbid_unknown_fields=True):
    """The body of the post."""

    text: str
    comment_id: str | None = None


_DECODER: Final = msgspec.json.Decoder(Creation)
_START: Final = {"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]}
_BODY: Final = {"type": "http.response.body", "body": b""}


async def app(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Any post to any path."""
    if scope["type"] != "http":
        return
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    if body:
        _DECODER.decode(body)
    await send(_START)
    await send(_BODY)


if __name__ == "__main__":
    uvicorn.run(app, host=HOST, port=int(sys.argv[1]), loop="uvloop", http="httptools", lifespan="off", access_log=False, log_level="error")
