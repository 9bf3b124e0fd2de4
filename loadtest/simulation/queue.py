"""A FIFO queue as SQS keeps it: of a message group only one receiver has messages, in their order, until it deletes them."""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

MOST: Final = 10


class Message(NamedTuple):
    """`commands`: numbers of those in it, in order."""

    group: int
    commands: list[int]


class FifoQueue:
    """`sent` puts, `receive` asks for up to ten messages and is answered once there are any, `deleted` lets their groups go."""

    def __init__(self) -> None:
        self._groups: dict[int, deque[Message]] = {}
        self._ready: deque[int] = deque()
        self._held: set[int] = set()
        self._waiting: deque[Callable[[list[Message]], None]] = deque()
        self.depth = 0
        """Commands in it, those in hand included."""

    def sent(self, messages: list[Message]) -> None:
        """In this order."""
        for each in messages:
            waiting = self._groups.setdefault(each.group, deque())
            waiting.append(each)
            self.depth += len(each.commands)
            if len(waiting) == 1 and each.group not in self._held:
                self._ready.append(each.group)
        self._serve()

    def receive(self, then: Callable[[list[Message]], None]) -> None:
        """Who asked first is answered first."""
        self._waiting.append(then)
        self._serve()

    def deleted(self, messages: list[Message]) -> None:
        """All that one receive gave."""
        for group in dict.fromkeys(each.group for each in messages):
            self._held.discard(group)
            if self._groups[group]:
                self._ready.append(group)
        self.depth -= sum(len(each.commands) for each in messages)
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._ready:
            self._waiting.popleft()(self._taken())

    def _taken(self) -> list[Message]:
        taken: list[Message] = []
        while self._ready and len(taken) < MOST:
            group = self._ready.popleft()
            self._held.add(group)
            waiting = self._groups[group]
            while waiting and len(taken) < MOST:
                taken.append(waiting.popleft())
        return taken
