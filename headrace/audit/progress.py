"""How far an audit is, on stderr, once it takes more than a moment: redrawn in place on a terminal, a line now and then elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final, TextIO

FIRST_SECONDS: Final = 2.0
_TERMINAL_SECONDS: Final = 0.2
_LINE_SECONDS: Final = 10.0
Told = Callable[[int], None]


class Progress:
    """`out` None: says nothing."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out
        self._terminal = out is not None and out.isatty()
        self._next = monotonic() + FIRST_SECONDS
        self._drawn = False

    @contextmanager
    def step(self, what: str) -> Iterator[Told]:
        """The block tells how many more it has done."""
        began, count = monotonic(), 0

        def told(more: int) -> None:
            nonlocal count
            count += more
            self._show(f"{count:,} {what}, {count / max(0.001, monotonic() - began):,.0f}/s")

        yield told
        self._end()

    @contextmanager
    def waiting(self, what: str) -> Iterator[Told]:
        """The block tells how many are left."""
        yield lambda left: self._show(f"waiting: {left:,} {what}")
        self._end()

    def _show(self, line: str) -> None:
        now = monotonic()
        if self._out is None or now < self._next:
            return
        self._next = now + (_TERMINAL_SECONDS if self._terminal else _LINE_SECONDS)
        self._out.write(f"\r\x1b[Kheadrace audit: {line}" if self._terminal else f"headrace audit: {line}\n")
        self._out.flush()
        self._drawn = self._terminal

    def _end(self) -> None:
        """A line that was redrawn is left behind."""
        if self._drawn and self._out is not None:
            self._out.write("\n")
            self._out.flush()
        self._drawn = False


def on_stderr() -> Progress:
    return Progress(sys.stderr)
