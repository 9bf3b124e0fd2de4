"""An SQS that takes everything at once and keeps nothing: for measuring what sends to it. `python -m tests.support.instant_sqs PORT`."""

import asyncio
import re
import sys
from typing import Final

import uvloop

_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.I)
_ENTRY: Final = re.compile(rb'"Id": ?"(\d+)"')
_GOOD: Final = b'{"Id":"%s","MessageId":"00000000-0000-0000-0000-000000000000","MD5OfMessageBody":"","SequenceNumber":"1"}'


class _Connection(asyncio.Protocol):
    """Requests one after the other; of each only its length and the ids of its entries are looked at."""

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        self._transport, self._held, self._wanted = transport, bytearray(), 0

    def data_received(self, data: bytes) -> None:
        self._held += data
        while len(self._held) >= (self._wanted or self._size()) > 0:
            size = self._wanted or self._size()
            self._answer(bytes(self._held[:size]))
            del self._held[:size]
            self._wanted = 0

    def _size(self) -> int:
        """Of the first request; 0 while its head is not there."""
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            return 0
        length = _LENGTH.search(self._held, 0, end + 2)
        self._wanted = end + 4 + (int(length[1]) if length else 0)
        return self._wanted

    def _answer(self, request: bytes) -> None:
        entries = b",".join([_GOOD % ident for ident in _ENTRY.findall(request)])
        body = b'{"Successful":[%s],"Failed":[]}' % entries
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        )


async def serve(port: int) -> None:
    """Until the process ends."""
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
