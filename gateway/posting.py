"""One command on its way: claimed, sent, confirmed, and, when the caller would wait, its outcome."""

import asyncio

from events.envelope import Command
from events.outcome import Outcome, Status
from gateway import receipts
from gateway.answers import Answer
from gateway.combiner import Combiner
from gateway.lookup import Lookup
from gateway.outcomes import Outcomes
from gateway.parcelling import BufferFull
from gateway.preparing import Prepared
from gateway.problems import Problem, later
from gateway.sender import NotSent, Sender

Claims = Combiner[Command, str]


class Poster:
    """What single posts and batches have in common."""

    def __init__(self, sender: Sender, claims: Claims, outcomes: Outcomes, lookup: Lookup) -> None:
        self.sender, self.outcomes = sender, outcomes
        self._claims, self._lookup = claims, lookup

    async def post(self, prepared: Prepared, wait: float, created_below: str | None) -> Answer:
        """The whole answer. `created_below`: path of what the command creates, None when it creates nothing."""
        if not wait:
            await self.accept(prepared)
            return receipts.pending(prepared.command)
        command = prepared.command
        until = asyncio.get_running_loop().time() + wait
        with self.outcomes.expecting((command.stream, command.actor, command.id), command.fingerprint) as waiter:
            await self.accept(prepared)
            outcome = await self.outcomes.outcome(waiter, until, lambda: self.look(command))
        preference = (b"preference-applied", b"wait=%d" % wait)
        if outcome is None:
            return receipts.pending(command, preference)
        if outcome.status is Status.APPLIED:
            return receipts.applied(command, outcome, created_below, preference)
        raise receipts.refusal(command, outcome, preference)

    async def accept(self, prepared: Prepared) -> None:
        """Returns once SQS confirmed the command; Problem when it was not accepted."""
        if prepared.key_given:
            await self.claim(prepared.command)
        try:
            await self.sender.add(prepared)
        except BufferFull:
            raise later("buffer_full") from None
        except NotSent:
            raise later("unavailable", "the command could not be handed over; it was not accepted") from None

    async def claim(self, command: Command) -> None:
        """Problem when the caller used this id for something else before."""
        if await self._claims.ask(command) != command.fingerprint:
            raise Problem("command_id_reused", command_id=command.id, stream=command.stream)

    async def look(self, command: Command) -> Outcome | None:
        """What Redis or the stream knows of the command now."""
        return await self._lookup.outcome(command.stream, command.actor, command.id, command.fingerprint)
