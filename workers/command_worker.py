"""What the command worker makes of a batch: take it apart, decide every stream, set aside what failed, tell what became of it."""

from collections import Counter
from collections.abc import Sequence
from time import perf_counter
from typing import Final

from events.domain import Registry
from events.ids import partition_of
from events.outcome import Notice, Status
from events.parcel import encode_command, pack_commands
from events.store import EventStore
from runtime import logs
from runtime.errors import Retryable
from runtime.metrics import COMMANDS, DISCARDS, ENVELOPES, HOP_SECONDS, MESSAGES, PARTITIONS_OTHER, REDRIVEN
from workers.careful import FROM, Careful
from workers.consumer import Handled
from workers.jobs import Asked, Batch, open_batch
from workers.partition_count import PartitionCount
from workers.queue import Delivery, Queue
from workers.rounds import Rounds
from workers.snapshotting import SnapshotWriter
from workers.state_cache import StateCache
from workers.telling import Teller
from workers.trials import Trials

MOST_BURIED: Final = 1000
"""Burials remembered."""
_LOG: Final = logs.get("command_worker")


class Undecided(Retryable):
    """No command of the batch could be decided: what the decisions stand on is away."""


class CommandWorker:
    """`handle` is the consumer loop's handler."""

    def __init__(
        self,
        store: EventStore,
        registry: Registry,
        partitions: PartitionCount,
        told: tuple[Queue, Teller, Trials],
        snapshots: SnapshotWriter | None = None,
    ) -> None:
        self._partitions = partitions
        self._queue, self._teller, self._trials = told
        self._cache = StateCache()
        self._rounds = Rounds(store, registry, self._cache, snapshots)
        self._careful = Careful(self._trials, self._rounds, store)
        self._gone: list[str] = []
        """Messages that were handled with care and are deleted: their notes may go."""
        self._buried: set[str] = set()
        """What was buried lately: its message may stay in hand for longer than the dead-letter queue knows a repeat."""

    async def handle(self, deliveries: Sequence[Delivery]) -> Handled:
        """What is done when this returns is durable and told; the loop deletes it."""
        careful = any(each.receives >= FROM for each in deliveries)
        handled = await (self._handle_with_care(deliveries) if careful else self._handle(deliveries))
        await self._forget()
        return handled

    async def _handle(self, deliveries: Sequence[Delivery], careful: str = "") -> Handled:
        """`careful`: the id of the one message that is to be decided with care."""
        began = perf_counter()
        batch = await self._opened(deliveries)
        MESSAGES.labels("commands").inc(len(deliveries))
        ENVELOPES.labels("commands").inc(len(batch.asked))
        await self._recall(batch)
        if careful:
            await self._careful.decide(careful, batch)
        else:
            await self._rounds.decide(list(batch.jobs.values()))
        if batch.asked and all(each.outcome is None for each in batch.asked):
            raise Undecided
        await self._bury_failed(batch)
        await self._tell(batch)
        HOP_SECONDS.labels("commands").observe(perf_counter() - began)
        return self._handled(batch, deliveries)

    async def _opened(self, deliveries: Sequence[Delivery]) -> Batch:
        """Whatever number of partitions its parcels were packed under. Another than the stack's is told: a gateway that could not read
        the facts did not hear of the change, and order between it and the others may not have been kept."""
        batch = open_batch(deliveries, self._partitions.now)
        if batch.others and await self._partitions.again():
            batch = open_batch(deliveries, self._partitions.now)
        if batch.others:
            PARTITIONS_OTHER.inc()
            _LOG.warning("packed under another number of partitions", action="open", packed=sorted(batch.others), has=self._partitions.now)
        return batch

    async def _handle_with_care(self, deliveries: Sequence[Delivery]) -> Handled:
        """One message after the other, the suspicious ones stream by stream; what is behind an unfinished one of its group waits."""
        parts: list[tuple[Delivery, Handled]] = []
        blocked: set[str] = set()
        spared = {each.message_id for each in deliveries}
        for delivery in deliveries:
            if delivery.group in blocked:
                continue
            careful = delivery.message_id if delivery.receives >= FROM else ""
            try:
                handled = await self._handle([delivery], careful)
            except Retryable:
                if not parts:
                    raise
                break  # what is done is settled; the rest is tried again
            spared.remove(delivery.message_id)
            spared |= handled.spared
            parts.append((delivery, handled))
            if not handled.done and not handled.poison:
                blocked.add(delivery.group)

        def deleted(gone: Sequence[Delivery]) -> None:
            ids = {each.message_id for each in gone}
            self._gone += [each.message_id for each in gone if each.receives >= FROM]
            for delivery, handled in parts:
                if handled.deleted is not None and delivery.message_id in ids:
                    handled.deleted([delivery])

        done = [each for _, handled in parts for each in handled.done]
        return Handled(done, [each for _, handled in parts for each in handled.poison], deleted, spared)

    async def _forget(self) -> None:
        """Best effort: a note that stays expires."""
        gone, self._gone = self._gone, []
        try:
            for message_id in gone:
                await self._trials.forget(message_id)
        except Retryable as wrong:
            _LOG.warning("notes left to expire", action="forget", error=str(wrong))

    async def _recall(self, batch: Batch) -> None:
        """A repeat of a command that left no event is answered as it was the first time, as long as that is remembered.

        What left events needs no recalling: its stream tells.
        """
        repeats = [each for each in batch.asked if each.command.repeat and not each.command.redriven]
        if not repeats:
            return
        for each, outcome in zip(repeats, await self._teller.recall([each.command for each in repeats]), strict=True):
            if outcome is not None and not outcome.left_events:
                each.outcome, each.recalled = outcome, True

    async def _bury_failed(self, batch: Batch) -> None:
        """A failed command goes to the dead-letter queue alone, as a parcel of one; its neighbours are not concerned."""
        for each in batch.asked:
            if each.outcome is None or each.outcome.status is not Status.FAILED or each.recalled:
                continue
            partitions = self._partitions.now
            body = pack_commands(partition_of(each.command.stream, partitions), [encode_command(each.command)], partitions)
            once = f"{each.command.fingerprint}-{each.delivery.message_id}"
            if once in self._buried:
                continue
            await self._queue.bury_body(body, once, each.outcome.detail, each.delivery.receives)
            if len(self._buried) >= MOST_BURIED:
                self._buried.clear()
            self._buried.add(once)
            DISCARDS.labels("commands", "failed").inc()
            _LOG.error("command dead-lettered", action="bury", stream=each.command.stream, reason=each.outcome.detail[:200])

    async def _tell(self, batch: Batch) -> None:
        notices = [
            Notice(each.command.stream, each.command.actor, each.command.id, each.command.fingerprint, each.outcome)
            for each in batch.asked
            if each.outcome is not None
        ]
        if not notices:
            return
        counts = Counter(notice.outcome.status.value for notice in notices)
        for status, count in counts.items():
            COMMANDS.labels(status).inc(count)
        for each in batch.asked:
            if each.command.redriven and each.outcome is not None:
                REDRIVEN.labels(each.outcome.status.value).inc()
        await self._teller.tell(notices, appended=Status.APPLIED in counts)
        _LOG.info("batch decided", action="decide", commands=len(notices), streams=len(batch.jobs), **counts)

    def _handled(self, batch: Batch, deliveries: Sequence[Delivery]) -> Handled:
        not_done = batch.unfinished() | {delivery.message_id for delivery, _ in batch.poison}
        done = [each for each in deliveries if each.message_id not in not_done]
        # Nobody's fault: a command that fails is told as failed at last, and one for a newer worker waits for it.
        return Handled(done, batch.poison, lambda gone: self._forget_settled(batch, gone), batch.unfinished())

    def _forget_settled(self, batch: Batch, gone: Sequence[Delivery]) -> None:
        """Commands whose message will not come again need no remembering by their stream's next commit, unless they came in another too."""
        known = map(self._cache.peek, batch.jobs)
        if not any(history is not None and history.unsettled for history in known):
            return
        ids = {each.message_id for each in gone}
        come_again = {_identity(each) for each in batch.asked if each.delivery.message_id not in ids}
        for each in batch.asked:
            history = self._cache.peek(each.command.stream) if _identity(each) not in come_again else None
            if history is not None:
                history.unsettled.pop((each.command.actor, each.command.id), None)


def _identity(asked: Asked) -> tuple[str, str, str]:
    return asked.command.stream, asked.command.actor, asked.command.id
