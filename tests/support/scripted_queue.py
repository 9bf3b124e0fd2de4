"""A queue that gives what it is told to give and remembers what was done to it."""

import asyncio
from collections.abc import Sequence
from typing import cast

from runtime.errors import Retryable
from workers.queue import Delivery, Queue


class QueueAway(Retryable):
    """Scripted."""


def delivery(ident: str, group: str = "p0", receives: int = 1) -> Delivery:
    return Delivery(ident, f"receipt-{ident}", group, "body", receives)


class ScriptedQueue(Queue):
    """`batches` one by one, then a long poll without end. An empty list is an empty answer; None is an error."""

    def __init__(self, *batches: list[Delivery] | None, visibility: float = 30) -> None:
        self.visibility = cast(int, visibility)  # a test's visibility is shorter than SQS knows
        self.most_receives = 10
        self._batches = list(batches)
        self.polling = asyncio.Event()
        """Everything was given out and a receive waits."""
        self.extended: list[tuple[list[str], float]] = []
        self.deleted: list[str] = []
        self.buried: list[tuple[str, str]] = []
        self.lost: set[str] = set()
        """Messages that cannot be extended any more."""
        self.kept: set[str] = set()
        """Messages that cannot be deleted."""
        self.extension = asyncio.Event()

    async def receive(self, wait: int) -> list[Delivery]:  # noqa: ARG002 - the queue's shape
        if not self._batches:
            self.polling.set()
            await asyncio.Event().wait()
        batch = self._batches.pop(0)
        if batch is None:
            raise QueueAway("receive")
        return batch

    async def extend(self, deliveries: Sequence[Delivery], seconds: int) -> list[Delivery]:
        self.extended.append(([each.message_id for each in deliveries], seconds))
        self.extension.set()
        return [each for each in deliveries if each.message_id in self.lost]

    async def delete(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        self.deleted += [each.message_id for each in deliveries if each.message_id not in self.kept]
        return [each for each in deliveries if each.message_id in self.kept]

    async def bury(self, delivery: Delivery, reason: str) -> None:
        self.buried.append((delivery.message_id, reason))
