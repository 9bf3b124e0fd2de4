"""A progress bar on stderr: redrawn in place on a terminal, a line at each tenth elsewhere."""

import sys
from time import monotonic
from typing import Final

WIDTH: Final = 32
_REDRAW_SECONDS: Final = 0.1


class Progress:
    """`advance` it; `done` ends its line."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._count, self._tenth, self._drawn = 0, 0, 0.0
        self._began = monotonic()
        self._terminal = sys.stderr.isatty()

    def advance(self, by: int = 1) -> None:
        self._count += by
        tenth = self._count * 10 // max(1, self._total)
        if self._terminal and (monotonic() - self._drawn > _REDRAW_SECONDS or self._count == self._total):
            self._drawn = monotonic()
            self._write("\r" + self._line())
        elif not self._terminal and tenth > self._tenth:
            self._tenth = tenth
            self._write(self._line() + "\n")

    def done(self) -> None:
        if self._terminal:
            self._write("\r" + self._line() + "\n")

    def _line(self) -> str:
        share = min(1.0, self._count / max(1, self._total))
        full = int(share * WIDTH)
        rate = self._count / max(0.001, monotonic() - self._began)
        return f"{self._what:<10} [{'#' * full}{'.' * (WIDTH - full)}] {self._count}/{self._total}  {rate:,.0f}/s"

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
