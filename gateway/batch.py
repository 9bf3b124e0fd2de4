"""`POST /commands/batch`: one command a line, one receipt a line, in order and as SQS confirms them."""

import asyncio
from typing import Final

from gateway.answers import NDJSON, Header, Stream, Write
from gateway.batch_run import Run
from gateway.identity import caller_of
from gateway.lines import MAX_BATCH, Lines
from gateway.posting import Poster
from gateway.preparing import Preparer
from gateway.problems import malformed
from gateway.requests import Pieces, Request
from runtime.times import Clock

KINDS: Final = (b"application/x-ndjson", b"application/ndjson")
ROOM_SECONDS: Final = 5.0
"""For which one batch waits, in all, while the gateway's buffer is full; then its lines are refused."""
STOP_SECONDS: Final = 5.0
"""How long a batch may still come when the process is told to stop."""


class BatchRoute:
    """One route."""

    def __init__(self, preparer: Preparer, poster: Poster, clock: Clock) -> None:
        self._preparer, self._poster, self._clock = preparer, poster, clock
        self.room_seconds = ROOM_SECONDS
        self._coming: set[Pieces] = set()
        self._ends = float("inf")

    async def post(self, request: Request) -> Stream:
        """Always 200 once the first line was read; what is wrong with a line stands in its receipt."""
        request.parameters()
        caller = caller_of(request)
        if caller.key is not None or caller.expected_version is not None:
            raise malformed("in a batch, id and expected_version stand in the lines, not in headers")
        pieces = request.pieces(KINDS, MAX_BATCH)
        lines = Lines(pieces)
        first = await lines.next()
        headers: list[Header] = [NDJSON]
        if caller.wait:
            headers.append((b"preference-applied", b"wait=%d" % caller.wait))

        async def answer(write: Write) -> None:
            self._coming.add(pieces)
            pieces.end_at(self._ends)
            try:
                run = Run(self._preparer, self._poster, self._clock, caller, self.room_seconds)
                await run.answer(first, lines, pieces, write)
            finally:
                self._coming.discard(pieces)

        return Stream(200, headers, answer)

    def stop(self, grace: float = STOP_SECONDS) -> None:
        """No batch comes longer than `grace` seconds from now: what came of it until then is answered, the rest refused."""
        self._ends = asyncio.get_running_loop().time() + grace
        for pieces in self._coming:
            pieces.end_at(self._ends)
