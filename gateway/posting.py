"""One command on its way: claimed, sent, confirmed, and, when the caller would wait, its outcome."""

import asyncio
from collections.abc import Sequence
from typing import Final

from events.envelope import Command
from events.outcome import Outcome, Status
from gateway import receipts
from gateway.answers import Answer
from gateway.combiner import Combiner
from gateway.lookup import Lookup
from gateway.memory import Claim
from gateway.outcomes import Outcomes
from gateway.parcelling import BufferFull
from gateway.preparing import Prepared, as_repeat
from gateway.problems import later
from gateway.sender import NotSent, Sender

UNCONFIRMED: Final = "the hand-over was not confirmed in time; repeat the command under the same id"
Claims = Combiner[Command, Claim]


class Poster:
    """What single posts and batches have in common."""

    def __init__(self, sender: Sender, claims: Claims, outcomes: Outcomes, lookup: Lookup) -> None:
        self.sender, self.outcomes, self.lookup = sender, outcomes, lookup
        self._claims = claims

    async def post(self, prepared: Prepared, wait: float, created_below: str | None) -> Answer:
        """The whole answer. `created_below`: path of what the command creates, None when it creates nothing; of use only with `wait`."""
        if not wait:
            await self.accept(prepared)
            return receipts.pending(prepared.command)
        command = prepared.command
        until = asyncio.get_running_loop().time() + wait
        with self.outcomes.expecting((command.stream, command.actor, command.id), command.fingerprint) as waiter:
            outcome = await self.accept(prepared)
            if outcome is None:
                outcome = await self.outcomes.outcome(waiter, until, lambda: self.look(command))
        preference = (b"preference-applied", b"wait=%d" % wait)
        if outcome is None:
            return receipts.pending(command, preference)
        if outcome.status is Status.APPLIED:
            return receipts.applied(command, outcome, created_below, preference)
        raise receipts.refusal(command, outcome, preference)

    async def accept(self, prepared: Prepared) -> Outcome | None:
        """Returns once SQS confirmed the command, or at once with what a repeat came to before; Problem when it was not accepted."""
        if prepared.key_given:
            claim = await self.claim(prepared.command)
            if claim.outcome is not None:
                return claim.outcome
            if claim.repeat:
                prepared = as_repeat(prepared)
        try:
            await self.sender.add(prepared)
        except BufferFull as full:
            raise later(full.code, full.detail, full.seconds) from None
        except NotSent:
            raise later("unavailable", UNCONFIRMED) from None
        return None

    async def claim(self, command: Command) -> Claim:
        """What is known of the id; Problem when the caller used it for something else before."""
        claim = await self._claims.ask(command)
        if claim.holder != command.fingerprint:
            raise receipts.reused(command)
        return claim

    async def claims(self, commands: Sequence[Command]) -> list[Claim]:
        """Of many; what another command holds is the caller's to refuse (`Claim.holder`)."""
        asked = [self._claims.ask(each) for each in commands]
        return [await each for each in asked]

    async def look(self, command: Command) -> Outcome | None:
        """What Redis or the stream knows of the command now."""
        return await self.lookup.outcome(command)
