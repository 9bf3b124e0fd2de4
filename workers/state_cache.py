"""Streams as this worker last knew them, so that most decisions need no read. Bounded; a stale entry costs one conflict."""

from collections import OrderedDict
from typing import Final

from events.history import History
from events.ids import StreamId
from runtime.metrics import STATE_CACHE

MOST_STREAMS: Final = 20_000


class StateCache:
    """Least recently used goes first. An entry is taken out while it is worked on, so that no two batches share one."""

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self._histories: OrderedDict[StreamId, History] = OrderedDict()
        self._most = most
        self._hits = STATE_CACHE.labels("hit")
        self._misses = STATE_CACHE.labels("miss")

    def take(self, stream: StreamId) -> History | None:
        history = self._histories.pop(stream, None)
        (self._misses if history is None else self._hits).inc()
        return history

    def put(self, history: History) -> None:
        """Keep the newer when somebody else put one meanwhile."""
        known = self._histories.pop(history.stream, None)
        self._histories[history.stream] = known if known is not None and known.version > history.version else history
        if len(self._histories) > self._most:
            self._histories.popitem(last=False)

    def peek(self, stream: StreamId) -> History | None:
        return self._histories.get(stream)
