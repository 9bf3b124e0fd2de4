"""A role that does nothing but be there: `/readyz` and `/healthz` on HEADRACE_BIND until SIGTERM.

    python tests/support/fake_role.py [die|mute|deaf]

`die`: ends with 3 before it listens. `mute`: listens but is never ready. `deaf`: ignores SIGTERM. A GET of `/exit` ends it.
"""

import asyncio
import os
import signal
import sys
from asyncio import StreamReader, StreamWriter


async def main(mood: str) -> int:
    """Serve until told to end; its exit code."""
    if mood == "die":
        return 3
    stop = asyncio.Event()
    if mood == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    host, _, port = os.environ["HEADRACE_BIND"].rpartition(":")

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        path = (await reader.readline()).split()[1].decode()
        if path == "/exit":
            os._exit(4)
        status = "503 Service Unavailable" if mood == "mute" and path == "/readyz" else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, host, int(port)):
        await stop.wait()
    return 0


sys.exit(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "")))
