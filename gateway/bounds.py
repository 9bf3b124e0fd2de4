"""What a gateway grants its connections."""

from typing import Final, NamedTuple

MAX_CONNECTIONS: Final = 4096
HEADER_SECONDS: Final = 10.0
WRITE_SECONDS: Final = 30.0
"""For a caller to take what was written for it; one that sends its whole body first may take as long as the body may."""


class Bounds(NamedTuple):
    """What a process may be told."""

    connections: int = MAX_CONNECTIONS
    header_seconds: float = HEADER_SECONDS
    write_seconds: float = WRITE_SECONDS


BOUNDS: Final = Bounds()
