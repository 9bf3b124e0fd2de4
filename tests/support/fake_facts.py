"""The stack's facts in memory: one text, replaced only by who saw it."""

import msgspec

from runtime.errors import Retryable
from runtime.stack import Changing, Overtaken, Seen, Stack


class Away(Retryable):
    """Scripted."""


class FakeFacts:
    """`lost`: so many of the next writes are carried out, and their answers lost."""

    def __init__(self, partitions: int = 16, changing: Changing | msgspec.UnsetType = msgspec.UNSET) -> None:
        self.put(Stack(partitions, "put:1", "arn", {"commands": "http://x/q"}, changing=changing))
        self.away = False
        self.lost = 0
        self.reads = 0
        self.written: list[Stack] = []

    def put(self, stack: Stack) -> None:
        self._text = msgspec.json.encode(stack).decode()

    @property
    def stack(self) -> Stack:
        return msgspec.json.decode(self._text, type=Stack)

    async def read(self) -> Seen | None:
        self.reads += 1
        if self.away:
            raise Away
        return Seen(self.stack, self._text)

    async def replace(self, seen: Seen | None, stack: Stack) -> Seen:
        new = msgspec.json.encode(stack).decode()
        if self.away:
            raise Away
        if new != self._text:
            if seen is None or seen.text != self._text:
                raise Overtaken
            self._text = new
            self.written.append(stack)
        if self.lost:
            self.lost -= 1
            raise Away
        return Seen(stack, new)
