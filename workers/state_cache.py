"""Streams as this worker last knew them, so that most decisions need no read. Bounded by bytes; a stale entry costs one conflict."""

import sys
from collections import OrderedDict
from typing import Any, Final

import msgspec

from events.history import History
from events.ids import StreamId
from runtime.metrics import STATE_CACHE, STATE_CACHE_BYTES, STATE_CACHE_STREAMS

MOST_BYTES: Final = 32 * 1024 * 1024
STREAM_BYTES: Final = 700
"""Of a history beside its state and its ids; this and the next as measured on CPython 3.11."""
ID_BYTES: Final = 450
"""Of a command id that a history remembers."""
_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=repr)


def weight(history: History) -> int:
    """About how many bytes it holds."""
    return STREAM_BYTES + ID_BYTES * (len(history.seen) + len(history.unsettled)) + _size(history.state)


def _size(state: Any) -> int:
    """The state's own size is no object's property; its encoding's is near enough."""
    try:
        return 2 * len(_ENCODER.encode(state))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return sys.getsizeof(state)


class StateCache:
    """Least recently used goes first. An entry is taken out while it is worked on, so that no two batches share one."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._histories: OrderedDict[StreamId, tuple[History, int]] = OrderedDict()
        self._most = most
        self.bytes = 0
        """Of all entries, about."""
        for result in ("hit", "miss"):
            STATE_CACHE.counts[result,] += 0
        STATE_CACHE_BYTES.set_function(lambda: self.bytes)
        STATE_CACHE_STREAMS.set_function(lambda: len(self._histories))

    def take(self, stream: StreamId) -> History | None:
        """Out of the cache, for whoever works on it."""
        history = self._pop(stream)
        STATE_CACHE.counts["miss" if history is None else "hit",] += 1
        return history

    def put(self, history: History) -> None:
        """Keep the newer when somebody else put one meanwhile. What is larger than a quarter of the cache is not kept."""
        known = self._pop(history.stream)
        kept = known if known is not None and known.version > history.version else history
        size = weight(kept)
        if size <= self._most // 4:
            self._histories[kept.stream] = kept, size
            self.bytes += size
        while self.bytes > self._most:
            _, (_, gone) = self._histories.popitem(last=False)
            self.bytes -= gone

    def peek(self, stream: StreamId) -> History | None:
        """Left where it is."""
        found = self._histories.get(stream)
        return found[0] if found is not None else None

    def _pop(self, stream: StreamId) -> History | None:
        found = self._histories.pop(stream, None)
        if found is None:
            return None
        self.bytes -= found[1]
        return found[0]
