"""Versions that this process knows to be stored, so that a token it gave out itself need not be checked against the store. Bounded."""

from collections import OrderedDict
from typing import Final

from events.ids import StreamId, Version

MOST: Final = 10_000


class Heads:
    """The highest known version of the streams last heard of. A stream's head never goes back, so what is known stays true."""

    def __init__(self, most: int = MOST) -> None:
        self._versions: OrderedDict[StreamId, Version] = OrderedDict()
        self._most = most

    def note(self, stream: StreamId, version: Version) -> None:
        """The stream holds that version: somebody read it there, or was told so by who appended it."""
        self._versions[stream] = max(version, self._versions.pop(stream, version))
        if len(self._versions) > self._most:
            self._versions.popitem(last=False)

    def reach(self, stream: StreamId, version: Version) -> bool:
        """Whether the stream is known to hold that version; False says nothing."""
        return self._versions.get(stream, Version(0)) >= version
