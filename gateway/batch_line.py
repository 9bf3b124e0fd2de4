"""One line of a batch that is under way, and what is answered to it."""

import asyncio
from dataclasses import dataclass

from msgspec import structs

from events.outcome import Outcome
from gateway.answers import ENCODER
from gateway.outcomes import Waiter
from gateway.preparing import Prepared
from gateway.problems import Problem
from gateway.receipts import Refused, receipt, status_url


@dataclass(slots=True)
class BatchLine:
    """One line of the batch: refused (`answer` is there from the start) or on its way."""

    number: int
    prepared: Prepared | None = None
    answer: bytes | None = None
    confirmed: "asyncio.Future[None] | None" = None
    waiter: Waiter | None = None
    given_id: str | None = None
    """The caller's own id, of a line that never became a command."""

    def ready(self) -> bool:
        """It can be answered without waiting."""
        if self.answer is not None:
            return True
        return self.confirmed is not None and self.confirmed.done() and (self.waiter is None or self.waiter.outcome is not None)

    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.prepared.body) if self.prepared is not None else 0

    def refuse(self, problem: Problem) -> None:
        """It is answered with what is wrong."""
        refused = Refused("refused", problem.code, self.number, problem.detail or problem.title, self.given_id)
        if self.prepared is not None:
            command = self.prepared.command
            url = status_url(command.id, command.stream, command.actor)
            refused = structs.replace(refused, command_id=command.id, stream=command.stream, status_url=url)
        self.answer = encoded(refused)

    def remembered(self, outcome: Outcome | None) -> None:
        """It came before: its receipt, with what it came to when the caller would wait for that."""
        if self.prepared is not None:
            self.answer = encoded(receipt(self.prepared.command, outcome))


@dataclass(slots=True)
class Beyond:
    """Lines beyond the batch's limits, first to last."""

    first: int
    last: int


def encoded(body: object) -> bytes:
    """A receipt as a line."""
    return ENCODER.encode(body) + b"\n"
