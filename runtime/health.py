"""The small HTTP face of a worker: `/healthz`, `/readyz` and `/metrics` on a port of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, Final

import msgspec
import uvicorn

from runtime.errors import HeadraceError
from runtime.metrics import exposition

Check = Callable[[], Awaitable[None]]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

CHECK_SECONDS: Final = 2.0


class Dependency(msgspec.Struct, omit_defaults=True):
    """Whether one dependency answers; `detail` is a word for people, never an address or a stack trace."""

    ok: bool
    detail: str = ""


class Readiness(msgspec.Struct):
    """The body of `/readyz`."""

    ready: bool
    dependencies: dict[str, Dependency]


async def readiness(checks: Mapping[str, Check]) -> Readiness:
    """Ask all dependencies at once, each for at most two seconds."""
    results = await asyncio.gather(*(_ask(check) for check in checks.values()))
    found = dict(zip(checks, results, strict=True))
    return Readiness(ready=all(each.ok for each in results), dependencies=found)


async def _ask(check: Check) -> Dependency:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except TimeoutError:
        return Dependency(ok=False, detail="no answer in time")
    except (HeadraceError, OSError) as wrong:
        return Dependency(ok=False, detail=type(wrong).__name__)
    return Dependency(ok=True)


def health_app(checks: Mapping[str, Check]) -> App:
    """An ASGI application with the three routes."""

    async def answer(path: str) -> tuple[int, bytes, bytes]:
        if path == "/healthz":
            return 200, b"application/json", b'{"live":true}'
        if path == "/metrics":
            return 200, b"text/plain; version=0.0.4; charset=utf-8", exposition()
        if path == "/readyz":
            state = await readiness(checks)
            return (200 if state.ready else 503), b"application/json", msgspec.json.encode(state)
        return 404, b"application/problem+json", b'{"title":"Not Found","status":404,"code":"not_found"}'

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's shape
        status, kind, body = await answer(scope["path"])
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


class _Server(uvicorn.Server):
    """uvicorn, but signals are the process's own affair (see lifecycle)."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


@asynccontextmanager
async def serving(app: App, address: tuple[str, int]) -> AsyncIterator[None]:
    """Serve `app` while inside. Leaving stops listening and waits for the answers under way."""
    host, port = address
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
        limit_concurrency=64,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has a flag, not an event, for this
            await asyncio.sleep(0.005)
        if task.done():
            task.result()
        yield
    finally:
        server.should_exit = True
        await task
