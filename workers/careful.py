"""Decides a message that was received again and again: one stream at a time, each noted down before it is tried.

Whoever dies of it leaves the note. A stream that killed its worker is tried command by command the next time, and a command that
failed twice alone is set aside with outcome `failed`; its neighbours are decided as ever. Deaths by other causes accuse nobody: they
would have to come twice while the very same command is tried alone.
"""

from collections.abc import Sequence
from secrets import token_hex
from typing import Final

from events.ids import EMPTY, Version
from events.outcome import Outcome, Status
from events.store import EventStore
from runtime import logs
from runtime.errors import Retryable
from workers.jobs import Asked, Batch, Job
from workers.rounds import Rounds
from workers.trials import Trial, Trials, key_of

FROM: Final = 3
"""Receives from which a message is handled with care."""
WHY: Final = "it ended or broke its worker twice when it was tried alone"
_LOG: Final = logs.get("careful")


class Careful:
    """`decide` gives outcomes to a batch of one message, as far as it can."""

    def __init__(self, trials: Trials, rounds: Rounds, store: EventStore) -> None:
        self._trials, self._rounds, self._store = trials, rounds, store
        self._me = token_hex(8)
        """Of this life of this process."""

    async def decide(self, message_id: str, batch: Batch) -> None:
        """Raises Retryable when the store or the notes are away."""
        trial = await self._trials.read(message_id)
        if trial.trying and trial.by != self._me:
            trial.died()
            _LOG.warning("a worker did not survive this message", action="try", message=message_id, failures=sum(trial.failures.values()))
        trial.by = self._me
        try:
            for job in batch.jobs.values():
                await self._decide_stream(message_id, trial, job)
        finally:  # also when it ends early: who lives to write this accuses nobody
            trial.trying = []
            await self._trials.write(message_id, trial)

    async def _decide_stream(self, message_id: str, trial: Trial, job: Job) -> None:
        waiting = job.waiting()
        keys = [key_of(each.command) for each in waiting]
        for group in trial.groups(keys):
            asked = [waiting[place] for place in group]
            if len(group) == 1 and trial.condemned(keys[group[0]]):
                asked[0].outcome = await self._known(asked[0]) or Outcome(Status.FAILED, EMPTY, "failed", WHY)
                trial.aside.add(keys[group[0]])
                continue
            trial.trying = [keys[place] for place in group]
            await self._trials.write(message_id, trial)
            if not await self._tried(trial, job, asked):
                return  # those behind it on its stream wait for it

    async def _tried(self, trial: Trial, job: Job, asked: Sequence[Asked]) -> bool:
        """False when it could not be decided."""
        try:
            await self._rounds.decide([Job(job.stream, list(asked))])
        except Retryable:
            raise
        except Exception as wrong:  # noqa: BLE001 - whatever it is, it is this command's failure and is counted as one
            _LOG.exception("a command failed alone", action="try", stream=job.stream, error=type(wrong).__name__)
            trial.died()
            return False
        return all(each.outcome is not None for each in asked)

    async def _known(self, asked: Asked) -> Outcome | None:
        """What it came to, if its effect is stored: applied, whatever became of its worker. The domain's rules are not run."""
        version = EMPTY
        found: Version | None = None
        for commit in await self._store.load(asked.command.stream):
            for each in commit.recorded():
                version = Version(version + 1)
                if (each.actor, each.command_id) == (asked.command.actor, asked.command.id):
                    found = version
        return Outcome(Status.APPLIED, found) if found is not None else None
