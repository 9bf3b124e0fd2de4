"""One batch of parcels taken apart: by message for the queue's sake, by stream for the store's."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from events.domain import Domain
from events.envelope import Command
from events.history import History
from events.ids import EMPTY, StreamId, partition_of
from events.outcome import Outcome, Status
from events.parcel import CommandParcel, NewerParcel, UnreadableParcel, read_commands
from runtime import logs
from workers.queue import Delivery

_LOG: Final = logs.get("jobs")


@dataclass(slots=True)
class Asked:
    """One command and the message it came in."""

    command: Command
    delivery: Delivery
    outcome: Outcome | None = None
    recalled: bool = False
    """`outcome` was remembered, not decided."""


@dataclass(slots=True)
class Job:
    """One stream's commands of this batch, and how far they are."""

    stream: StreamId
    asked: list[Asked] = field(default_factory=list)
    domain: Domain | None = None
    history: History | None = None
    """What the next decision rests on; None until something was read or guessed."""
    fresh: bool = False
    """`history` was the stream's head at some moment after the messages were received."""
    full: bool = False
    """`history` holds every id the stream ever saw, not just the window."""
    behind: bool = False
    """There may be commits after `history`: read on before deciding."""

    def waiting(self) -> Sequence[Asked]:
        """Those without an outcome, in order."""
        if len(self.asked) == 1:  # as in most jobs, and asked for six times of each
            return self.asked if self.asked[0].outcome is None else ()
        return [each for each in self.asked if each.outcome is None]

    def give_up(self, why: str) -> None:
        """No one can decide these commands: each fails, with the reason."""
        version = self.history.version if self.history else EMPTY
        for each in self.waiting():
            each.outcome = Outcome(Status.FAILED, version, "failed", why)

    def look_again(self) -> None:
        """A conflict or no answer: only the store knows."""
        self.fresh, self.behind = False, True


@dataclass(slots=True)
class Batch:
    """What one receive brought."""

    jobs: dict[StreamId, Job] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    left: set[str] = field(default_factory=set)
    """Ids of messages that a newer worker must take, and of those behind them in their group."""
    poison: list[tuple[Delivery, str]] = field(default_factory=list)
    others: set[int] = field(default_factory=set)
    """Numbers of partitions that parcels were packed under and that are not the one given; 0: a parcel that does not say, and does
    not fit the one given."""

    def unfinished(self) -> set[str]:
        """Ids of messages that must come again."""
        return self.left | {each.delivery.message_id for each in self.asked if each.outcome is None}


def open_batch(deliveries: Sequence[Delivery], partitions: int) -> Batch:
    """Pure but for the log. `partitions`: how many the stack has."""
    batch = Batch()
    blocked: set[str] = set()
    for delivery in deliveries:
        if delivery.group in blocked:
            batch.left.add(delivery.message_id)
            continue
        try:
            parcel = read_commands(delivery.body)
            if (parcel.partitions or partitions) != partitions:
                batch.others.add(parcel.partitions)
            _check(parcel, delivery.group, partitions)
        except NewerParcel as newer:
            _LOG.warning("left for a newer worker", action="open", detail=str(newer), group=delivery.group)
            batch.left.add(delivery.message_id)
            blocked.add(delivery.group)
        except UnreadableParcel as unreadable:
            if isinstance(unreadable, _Misplaced):
                batch.others.add(0)
            batch.poison.append((delivery, str(unreadable)))
        else:
            for command in parcel.commands:
                _add(batch, Asked(command, delivery))
    return batch


def _add(batch: Batch, asked: Asked) -> None:
    batch.asked.append(asked)
    job = batch.jobs.get(asked.command.stream)
    if job is None:
        job = batch.jobs[asked.command.stream] = Job(asked.command.stream)
    job.asked.append(asked)


def _check(parcel: CommandParcel, group: str, partitions: int) -> None:
    """By the parcel's own number of partitions; one that does not say was packed under the stack's."""
    if group != f"p{parcel.partition}":
        raise UnreadableParcel(f"partition {parcel.partition} in group {group}")
    if any(partition_of(command.stream, parcel.partitions or partitions) != parcel.partition for command in parcel.commands):
        raise (UnreadableParcel if parcel.partitions else _Misplaced)(f"a command of another partition than {parcel.partition}")


class _Misplaced(UnreadableParcel):
    """By the number of partitions that was given: another one may be right."""
