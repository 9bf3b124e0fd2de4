"""Is a part there? One question, asked in the language that the part's address names."""

import asyncio
from typing import Final
from urllib.parse import urlsplit

import asyncpg

_SECONDS: Final = 2.0


async def answers(probe: str) -> bool:
    """Whether the part answers: HTTP with 200, PostgreSQL to SELECT 1, Redis to PING, anything else by accepting."""
    try:
        async with asyncio.timeout(_SECONDS):
            match urlsplit(probe).scheme:
                case "http":
                    return await http_status(probe) == 200
                case "postgresql":
                    return await _postgres(probe)
                case "redis":
                    return await _redis(probe)
                case _:
                    return await _tcp(probe)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError):
        return False


async def http_status(url: str) -> int:
    """The status of a GET, by hand: an HTTP client library costs the command line a third of a second to import."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        return int((await reader.readline()).split()[1])
    except IndexError as exc:
        raise ValueError("not an HTTP answer") from exc
    finally:
        writer.close()


async def _postgres(url: str) -> bool:
    connection = await asyncpg.connect(url, timeout=_SECONDS)
    try:
        return bool(await connection.fetchval("SELECT 1") == 1)
    finally:
        await connection.close()


async def _redis(url: str) -> bool:
    """By hand, for the same reason. A server that asks for a password answers too."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 6379)
    try:
        writer.write(b"*1\r\n$4\r\nPING\r\n")
        await writer.drain()
        return (await reader.readline()).startswith((b"+PONG", b"-NOAUTH"))
    finally:
        writer.close()


async def _tcp(url: str) -> bool:
    parts = urlsplit(url)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
    writer.close()
    return True
