"""One FIFO group, two command workers on it, and a judge of what they tell and store.

The group behaves as SQS promises: while a batch is in hand nobody else gets the group; when the visibility lapses the same messages
go, in order, to whoever asks next, while the first worker still works on them and does not know.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, cast

from msgspec import Raw, structs

from events.deciding import MAX_COMMIT_BYTES, decide
from events.envelope import Command
from events.history import History, Identity
from events.ids import Partition, Version
from events.outcome import Notice, Outcome, Status
from events.parcel import encode_command, pack_commands
from events.snapshots import Snapshot
from runtime.errors import Retryable
from tests.support.said import REGISTRY, empty
from tests.support.scripted_store import ScriptedStore
from workers.command_worker import CommandWorker
from workers.partition_count import PartitionCount
from workers.queue import MOST_RECEIVES, Delivery, Queue
from workers.settling import settlement
from workers.snapshotting import SnapshotWriter
from workers.telling import Teller
from workers.trials import Trials


class Told:
    """Stands for the teller. Each batch hears its own: lanes of one worker run in tasks of their own."""

    def __init__(self) -> None:
        self._notices: ContextVar[list[Notice]] = ContextVar("notices")

    def begin(self) -> None:
        self._notices.set([])

    @property
    def notices(self) -> list[Notice]:
        return self._notices.get()

    async def tell(self, notices: Sequence[Notice], *, appended: bool) -> None:  # noqa: ARG002 - the teller's shape
        self.notices.extend(notices)


class Snapshots(SnapshotWriter):
    """Written between the batches, as a script has it: lost ones leave older ones behind, and wrong ones may be there too."""

    async def settle(self, befalls: Callable[[], str]) -> None:
        while not self._waiting.empty():
            snapshot, instead_of = self._waiting.get_nowait()
            fault = befalls()
            if fault != "lost":
                await self._write(wrong(snapshot, fault), instead_of)


def wrong(snapshot: Snapshot, fault: str) -> Snapshot:
    """`other`: of a commit that is another one in the store; `ahead`: of one that is not there."""
    if fault == "other":
        last = structs.replace(snapshot.seen[-1], command_id="never")
        return structs.replace(snapshot, state=Raw(b"null"), seen=[last])
    if fault == "ahead":
        after = Version(snapshot.version + 1)
        return structs.replace(snapshot, first=after, version=after, previous=snapshot.version)
    return snapshot


@dataclass
class Group:
    store: ScriptedStore
    messages: list[tuple[str, list[Command]]]
    outcomes: dict[tuple[str, int], set[Outcome]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    limit: int = MAX_COMMIT_BYTES + 2
    befalls: Callable[[], str] = str
    """What befalls the next snapshot: "" is nothing."""

    def __post_init__(self) -> None:
        self.sent = list(self.messages)
        self.workers = [self.new_worker(), self.new_worker()]

    def new_worker(self) -> tuple[CommandWorker, Told, Snapshots]:
        told, snapshots = Told(), Snapshots(self.store, REGISTRY)
        ports = (cast(Queue, None), cast(Teller, told), cast(Trials, None))
        return CommandWorker(self.store, REGISTRY, PartitionCount(1), ports, snapshots), told, snapshots

    async def turn(self, first: int, most: int, *, lapse: bool, delete: bool | int, crash: bool, second: int | None = None) -> None:
        """A worker takes a batch; when it lapses, the other (or `second`: its own other lane) takes it too, perhaps with more messages,
        while the first goes on. `delete`: whether SQS deletes what is done, or all but the so-manieth of it (from 2)."""
        taken = self.messages[:most]
        if not lapse:
            gone, deleted = await self.work(first, taken)
        else:
            more = self.messages[: most + 1]
            other = 1 - first if second is None else second
            _, (gone, deleted) = await asyncio.gather(self.work(first, taken), self.work(other, more))
        if crash:
            self.workers[first] = self.new_worker()
        elif delete and deleted is not None:
            gone = [each for place, each in enumerate(gone, 2) if delete is True or place != delete]
            idents = {each.message_id for each in gone}
            self.messages = [each for each in self.messages if each[0] not in idents]
            deleted(gone)

    async def work(self, number: int, taken: list[tuple[str, list[Command]]]) -> tuple[list[Delivery], Any]:
        worker, told, snapshots = self.workers[number]
        told.begin()
        heads = {c.stream: await self._fold(c) for _, commands in taken for c in commands}
        deliveries = [
            Delivery(ident, "r", "p0", pack_commands(Partition(0), [encode_command(c) for c in commands]), 1) for ident, commands in taken
        ]
        try:
            handled = await worker.handle(deliveries)
        except Retryable:
            return [], None
        finally:
            await snapshots.settle(self.befalls)
        notices = deque(told.notices)
        for ident, commands in taken:
            for place, command in enumerate(commands):  # told in this order; of a message that is not done, not every one
                first = notices[0] if notices else None
                if first is not None and (first.stream, first.actor, first.command_id) == (command.stream, command.actor, command.id):
                    self._judge((ident, place), command, notices.popleft().outcome, heads[command.stream])
        if notices:
            self.faults.append(f"told of commands that were not there: {notices}")
        return settlement(deliveries, handled, MOST_RECEIVES).delete, handled.deleted

    async def _fold(self, command: Command) -> History:
        commits = await self.store.stored(command.stream)
        return empty(command.stream).absorb(commits, REGISTRY)

    def _judge(self, where: tuple[str, int], command: Command, outcome: Outcome, at_receive: History) -> None:
        """A refusal or a no-op must rest on a state at least as new as the store's when the message was received."""
        self.outcomes.setdefault(where, set()).add(outcome)
        known = (command.actor, command.id) in at_receive.seen
        if not known and outcome.version < at_receive.version and outcome.reason != "command_id_reused":
            self.faults.append(f"{where} {command.name}: {outcome} rests on a state older than {at_receive.version}")

    async def verdict(self) -> list[str]:
        """Everything that must hold when the queue is empty."""
        faults = list(self.faults)
        for where, outcomes in self.outcomes.items():
            # That an id is taken holds as long as the one who took it is remembered.
            lasting = [outcome for outcome in outcomes if outcome.reason != "command_id_reused"]
            faults += [f"{where} was told {outcomes}"] if len(lasting) > 1 else []
        everything = {(ident, place) for ident, commands in self.sent for place in range(len(commands))}
        faults += [f"{where} was never told" for where in everything - self.outcomes.keys()]
        for stream in {command.stream for _, commands in self.sent for command in commands}:
            commits = await self.store.stored(stream)
            history, acted = empty(stream), dict[Identity, set[int]]()
            times = [each.at for commit in commits for each in commit.recorded()]
            faults += [f"{stream}: times do not rise"] if times != sorted(set(times)) else []
            faults += [f"{stream}: a commit of {len(each.events)} bytes" for each in commits if len(bytes(each.events)) > self.limit]
            for commit in commits:
                history.absorb([commit], REGISTRY)  # raises on a hole, a repeat or an overlap
                for each in commit.recorded():
                    acted.setdefault((each.actor, each.command_id), set()).add(commit.first)
            faults += [f"{who} acted in the commits {where}" for who, where in acted.items() if len(where) > 1]
        return faults

    async def believed(self) -> list[str]:
        """Each refusal and no-op is what the rules say at the version that it names."""
        faults = []
        told_of = {(ident, place): command for ident, commands in self.sent for place, command in enumerate(commands)}
        for where, command in told_of.items():
            for outcome in self.outcomes.get(where, ()):
                if outcome.reason == "command_id_reused" or outcome.status is Status.FAILED:
                    continue
                faults += await self._recheck(where, command, outcome)
        return faults

    async def _recheck(self, where: tuple[str, int], command: Command, outcome: Outcome) -> list[str]:
        commits = await self.store.stored(command.stream)
        version, acted = 0, 0
        for commit in commits:
            for each in commit.recorded():
                version += 1
                if (each.actor, each.command_id, each.fingerprint) == (command.actor, command.id, command.fingerprint):
                    acted = version
        if acted and outcome.version >= acted:
            return [] if outcome == Outcome(Status.APPLIED, Version(acted)) else [f"{where} acted at {acted} and was told {outcome}"]
        # Sent again after its refusal's message was gone, a command may act; what it was told before was true then.
        history, blank = empty(command.stream), empty(command.stream)
        for commit in commits:
            for each in commit.recorded():
                if history.version < outcome.version:
                    event = REGISTRY.read(each.name, each.data)
                    history.state = history.decider.evolve(history.state, event, each.at)
                    history.version = Version(history.version + 1)
        history.seen = blank.seen
        draft = decide(history, [command], REGISTRY, full=True)
        agreed = not draft.events and draft.outcomes == [outcome]
        return [] if agreed else [f"{where} was told {outcome}, the rules say {draft.outcomes}"]
