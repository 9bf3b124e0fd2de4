"""Serves the application: uvicorn, embedded, with our protocol; signals are the process's own affair."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, Final

import uvicorn

from gateway.app import App
from gateway.bounds import BOUNDS, MAX_CONNECTIONS, Bounds
from gateway.protocol import GatewayProtocol
from runtime.errors import ConfigurationError

OWN_FILES: Final = 256
"""Descriptors kept for everything but callers."""
KEEP_ALIVE_SECONDS: Final = 75
"""Of an idle connection: longer than a load balancer or a client keeps its own (60 s), so that no request meets a closing one."""
ANSWER_SECONDS: Final = 15
"""For answers under way when the process is told to stop; part of the 25 s that all of it may take."""


class _Server(uvicorn.Server):
    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


@asynccontextmanager
async def serving(
    app: App,
    address: tuple[str, int],
    stopping: Callable[[], None] | None = None,
    bounds: Bounds = BOUNDS,
) -> AsyncIterator[int]:
    """Serve while inside; the port. Leaving stops listening, says so to `stopping`, and waits for the answers under way."""
    listener = _listener(address)
    protocol = type("Protocol", (GatewayProtocol,), {"bounds": bounds})
    application: Any = app
    config = uvicorn.Config(
        application,
        loop="none",
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=ANSWER_SECONDS,
        backlog=2048,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has a flag, not an event, for this
            await asyncio.sleep(0.005)
        if task.done():
            task.result()
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        if stopping is not None:
            stopping()
        await task


def _listener(address: tuple[str, int]) -> socket.socket:
    host, port = address
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as wrong:
        listener.close()
        raise ConfigurationError([f"HEADRACE_BIND: {host}:{port}: {wrong.strerror}"]) from wrong
    return listener


def possible_connections() -> int:
    """As many as the process may open files for, up to a bound; the process' own limit is raised for them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OWN_FILES
    allowed = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(16, min(MAX_CONNECTIONS, max(soft, allowed) - OWN_FILES))
