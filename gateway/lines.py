"""A batch's body taken apart into lines as it comes: numbered from 1, never more of it held than what came last and one line."""

from typing import Final, NamedTuple

from gateway.requests import MAX_BODY, Pieces

MAX_LINES: Final = 10_000
MAX_BATCH: Final = 16 * 1024 * 1024
AT_ONCE: Final = 200
"""Lines worked on before the loop may turn to other callers."""
LONG: Final = b"\n"
"""Stands for a line over 256 KiB, which is not kept; no line can hold this."""


class Came(NamedTuple):
    """What came next: lines, then a number of lines beyond the batch's limits. Nothing of both is the end."""

    first: int
    lines: list[bytes]
    beyond: int


class Lines:
    """The end of the last line may be missing. Of a body over 16 MiB another 16 are read, to count their lines; then no more."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._size = 0
        self._whole: list[bytes] = []
        self._taken = 0
        """Of `_whole`."""
        self._begun: list[bytes] = []
        """The line that is not complete."""
        self._begun_size = 0
        self._over = False
        self._beyond = 0
        self.number = 1
        """Of the next line."""

    async def next(self) -> Came:
        """Problems and Disconnected as those of `Pieces.next`."""
        while self._taken == len(self._whole) and not self._beyond:
            piece = await self._pieces.next() if self._size <= 2 * MAX_BATCH else b""
            if not piece:
                self._finish()
                break
            self._size += len(piece)
            if self._over:
                self._count(piece)
            elif self._size <= MAX_BATCH:
                self._split(piece)
            else:
                within = len(piece) - (self._size - MAX_BATCH)
                self._split(piece[:within])
                self._over = True
                self._count(piece[within:])
        return self._came()

    def _came(self) -> Came:
        lines = self._whole[self._taken : self._taken + min(AT_ONCE, max(0, MAX_LINES + 1 - self.number))]
        first = self.number
        self._taken += len(lines)
        if self.number + len(lines) > MAX_LINES:
            self._beyond += len(self._whole) - self._taken
            self._taken = len(self._whole)
        beyond = 0
        if self._taken == len(self._whole):
            beyond, self._beyond = self._beyond, 0
        self.number += len(lines) + beyond
        return Came(first, lines, beyond)

    def _split(self, piece: bytes) -> None:
        first, *others = piece.split(b"\n")
        self._begin(first)
        if not others:
            return
        last = others.pop()
        self._whole = [self._ended(), *(line if len(line) <= MAX_BODY else LONG for line in others)]
        self._taken = 0
        self._begin(last)

    def _begin(self, part: bytes) -> None:
        self._begun_size += len(part)
        if self._begun_size > MAX_BODY:
            self._begun = []
        elif part:
            self._begun.append(part)

    def _ended(self) -> bytes:
        line = b"".join(self._begun) if self._begun_size <= MAX_BODY else LONG
        self._begun, self._begun_size = [], 0
        return line

    def _count(self, piece: bytes) -> None:
        """Beyond 16 MiB: what was begun within them is beyond them too."""
        self._beyond += piece.count(b"\n")
        self._begun, self._begun_size = [], 0 if piece.endswith(b"\n") else 1

    def _finish(self) -> None:
        if self._begun_size and self._over:
            self._beyond += 1
        elif self._begun_size:
            self._whole, self._taken = [self._ended()], 0
        self._begun_size = 0
