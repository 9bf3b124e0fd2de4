"""Where `headrace up` says what it does."""

import os
from typing import TextIO


class Announcer:
    """Says lines where people look, and, until ready, to the process that waits for a detached stack."""

    def __init__(self, out: TextIO, also: int | None) -> None:
        self._out, self._also = out, also

    def __call__(self, line: str) -> None:
        print(f"headrace: {line}", file=self._out, flush=True)
        if self._also is not None:
            try:
                os.write(self._also, f"headrace: {line}\n".encode())
            except BrokenPipeError:  # nobody waits any more
                self.close()

    def close(self) -> None:
        """From now on there is nobody else to tell."""
        if self._also is not None:
            os.close(self._also)
            self._also = None
