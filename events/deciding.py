"""How the commands of one stream in one parcel become one commit. Pure: the history is an argument, the caller does the I/O.

A draft is decided on a base and is worth nothing until its append succeeded on that very base: the success proves that the base
was the stream's head, and with it every decision in the draft, refusals included. A draft without events is proved by nothing;
`needs_proof` says so, and the caller decides it again on a state read after the message was received.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from msgspec import Raw

from events.domain import Context, Registry
from events.envelope import ENCODER, Command, Commit, Recorded, Settled
from events.history import WINDOW, History, Identity, Seen
from events.ids import StreamId, Version
from events.outcome import Outcome, Status
from runtime.errors import Rejected
from runtime.times import Micros

MAX_COMMIT_BYTES: Final = 200 * 1024
"""Of the events' JSON. DynamoDB takes 400 KB an item, SNS 256 KiB a publish: a commit must fit both with its envelope."""
MAX_SETTLED_BYTES: Final = 160 * 1024
"""Of what a commit tells of commands without effect: with full events it still fits DynamoDB's 400 KB."""
MAX_DETAIL: Final = 500


@dataclass(slots=True)
class Draft:
    """What the first `len(outcomes)` commands of a stream come to on one base."""

    stream: StreamId
    base: Version
    previous: Version
    version: Version
    at: Micros
    state: Any
    outcomes: list[Outcome] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)
    size: int = 0
    seen: dict[Identity, Seen] = field(default_factory=dict)
    acted: list[tuple[Identity, Seen]] = field(default_factory=list)
    """Commands that left events, in order."""
    settled: dict[Identity, Settled] = field(default_factory=dict)
    needs_full: bool = False
    """A command is older than the base's window of ids: decide again on the full stream."""
    guessed: int = 0
    """Outcomes that rest on the base rather than on an id the fold already knows."""

    @property
    def needs_proof(self) -> bool:
        return not self.events and self.guessed > 0

    def commit(self) -> Commit:
        """The item to append; only when there are events."""
        return Commit(
            stream=self.stream,
            first=Version(self.base + 1),
            last=self.version,
            previous=self.previous,
            events=Raw(b"[" + b",".join(self.events) + b"]"),
            settled=self.carried(),
        )

    def carried(self) -> tuple[Settled, ...]:
        """The settled commands that the commit tells of: all, or the newest when there are more than an item takes.

        The others are forgotten as if they had fallen out of the window; only their own redelivery would be decided anew.
        """
        if not self.settled:
            return ()
        room = MAX_SETTLED_BYTES
        kept: list[Settled] = []
        for each in reversed(self.settled.values()):
            room -= len(ENCODER.encode(each)) + 1
            if room < 0 or len(kept) == WINDOW:
                break
            kept.append(each)
        return tuple(reversed(kept))


def decide(history: History, commands: Sequence[Command], registry: Registry, *, full: bool = False) -> Draft:
    """Decide `commands` in order until done or until the commit is full; `full` says the history holds every id."""
    draft = Draft(history.stream, history.version, history.commit_first, history.version, history.at, history.state)
    draft.settled.update(history.unsettled)
    for command in commands:
        identity = (command.actor, command.id)
        seen = draft.seen.get(identity) or history.seen.get(identity)
        if seen is not None and (identity in draft.seen or seen.holds_for(command.accepted_at)):
            draft.outcomes.append(_repeat(command, seen))
            continue
        if not full and history.floor is not None and (command.redriven or command.accepted_at <= history.floor):
            draft.needs_full = True
            return draft
        if not _one(draft, history, command, registry):
            break
    return draft


def confirm(history: History, draft: Draft, window: int | None = WINDOW) -> None:
    """The draft's append succeeded (or it had no events and was proved): the history moves on to it.

    `window` is the one the history was read with: a full one must stay full.
    """
    if draft.events:
        history.remember_settled(draft.carried(), draft.at, window)
        for identity, seen in draft.acted:
            history.remember(identity, seen, window)
        history.version, history.at, history.state = draft.version, draft.at, draft.state
        history.moved_to(Version(draft.base + 1), draft.size)
    else:
        history.unsettled.update(draft.settled)
        for identity in list(history.unsettled)[:-WINDOW]:
            del history.unsettled[identity]


def _repeat(command: Command, seen: Seen) -> Outcome:
    if seen.fingerprint != command.fingerprint:
        why = "this id was used for another command"
        return Outcome(Status.REJECTED, seen.version, "command_id_reused", why, holder=seen.fingerprint)
    status = Status.REJECTED if seen.reason else Status.APPLIED
    return Outcome(status, seen.version, seen.reason, seen.detail, seen.no_effect)


def _one(draft: Draft, history: History, command: Command, registry: Registry) -> bool:
    """Decide one command; False when its events no longer fit into this commit."""
    at = Micros(max(command.accepted_at, draft.at + 1))
    try:
        events = _ask(draft, history, command, registry, at)
        recorded, state, last = _record(draft, history, command, registry, (events, at))
    except Rejected as no:
        _settle(draft, command, Outcome(Status.REJECTED, draft.version, no.reason, no.detail))
        return True
    except Exception as wrong:  # noqa: BLE001 - a decider's bug is this command's end, not its neighbours'
        detail = f"the domain's rules failed: {type(wrong).__name__}"
        draft.guessed += 1
        draft.outcomes.append(Outcome(Status.FAILED, draft.version, "decider_failed", detail))
        return True
    if not recorded:
        _settle(draft, command, Outcome(Status.APPLIED, draft.version, no_effect=True))
        return True
    size = sum(map(len, recorded)) + len(recorded)
    if size > MAX_COMMIT_BYTES:
        _settle(draft, command, Outcome(Status.REJECTED, draft.version, "too_large", "its events exceed 200 KiB"))
        return True
    if draft.size + size > MAX_COMMIT_BYTES:
        return False
    draft.version, draft.at, draft.state = Version(draft.version + len(recorded)), last, state
    draft.size += size
    draft.events += recorded
    draft.guessed += 1
    draft.outcomes.append(Outcome(Status.APPLIED, draft.version))
    seen = Seen(command.fingerprint, draft.version, at=last)
    draft.seen[command.actor, command.id] = seen
    draft.acted.append(((command.actor, command.id), seen))
    return True


def _ask(draft: Draft, history: History, command: Command, registry: Registry, at: Micros) -> Sequence[msgspec.Struct]:
    if command.expected_version is not None and command.expected_version != draft.version:
        raise Rejected("version_conflict", f"the stream is at version {draft.version}")
    kind = registry.commands.get(command.name)
    if kind is None:
        raise Rejected("unknown_command", "no domain of this stack knows this command")
    try:
        asked = msgspec.json.decode(command.data, type=kind.schema)
    except (msgspec.ValidationError, msgspec.DecodeError) as wrong:
        raise Rejected("malformed", str(wrong)[:MAX_DETAIL]) from wrong
    return history.decider.decide(asked, draft.state, Context(command.actor, at))


def _record(
    draft: Draft,
    history: History,
    command: Command,
    registry: Registry,
    decided: tuple[Sequence[msgspec.Struct], Micros],
) -> tuple[list[bytes], Any, Micros]:
    """(events as stored JSON, the state after them, the last one's time)."""
    events, at = decided
    state, recorded, last = draft.state, [], draft.at
    for offset, event in enumerate(events):
        last = Micros(at + offset)
        name, data = registry.write(event)
        state = history.decider.evolve(state, event, last)
        recorded.append(
            ENCODER.encode(
                Recorded(
                    name=name,
                    data=data,
                    at=last,
                    actor=command.actor,
                    command_id=command.id,
                    fingerprint=command.fingerprint,
                    correlation_id=command.correlation_id,
                    causation_id=command.causation_id,
                    traceparent=command.traceparent,
                )
            )
        )
    return recorded, state, last


def _settle(draft: Draft, command: Command, outcome: Outcome) -> None:
    """A command that changed nothing: remembered by the stream's next commit for as long as its message may come again."""
    identity = (command.actor, command.id)
    draft.guessed += 1
    draft.outcomes.append(outcome)
    draft.seen[identity] = Seen(command.fingerprint, outcome.version, outcome.reason, outcome.detail, no_effect=outcome.no_effect)
    draft.settled[identity] = Settled(
        command.id, command.actor, command.fingerprint, outcome.version, outcome.reason, outcome.detail, command.accepted_at
    )
