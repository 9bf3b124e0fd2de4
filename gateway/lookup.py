"""Finds what became of a command that nobody is waiting for any more: Redis first, then the fold of its stream."""

from typing import Final, NamedTuple

from events.domain import Registry
from events.envelope import Command
from events.history import History, Seen
from events.ids import StreamId
from events.outcome import Kept, Outcome, Status
from events.store import EventStore
from gateway.memory import Known, Memory
from runtime.errors import HeadraceError, Retryable

YOUNG_SECONDS: Final = 2.0
"""A mark younger than this, of an id that the gateway made, is believed without reading the stream: it is most likely on its way."""


class MemoryAway(Retryable):
    """Redis does not answer, and without it nobody knows whether the id was ever accepted."""


class Found(NamedTuple):
    """A command that is known: whose it is, and its outcome or None while it is pending."""

    actor: str
    outcome: Outcome | None


class Lookup:
    """Reads only; see `find`."""

    def __init__(self, memory: Memory, store: EventStore, registry: Registry) -> None:
        self._memory, self._store, self._registry = memory, store, registry

    async def find(self, stream: StreamId, actor: str, command_id: str) -> Found | None:
        """None when neither knows the id. The actor's own entry comes first; else, with auth off, the only other one there is.

        Raises Retryable when it cannot be known: the store is away, or Redis is and the stream does not have it.
        """
        known = await self._memory.known(stream, command_id)
        mine = _entry(known, actor)
        if mine is not None and (mine.outcome is not None or _surely_new(known, mine.actor)):
            return mine
        folded = await self._folded(stream, mine.actor if mine else actor, command_id, strictly=mine is not None)
        if folded is not None:
            return folded
        if known is None:
            raise MemoryAway
        return mine

    async def outcome(self, command: Command) -> Outcome | None:
        """Of one caller's own command; None while it is pending, or when that cannot be known just now."""
        known = await self._memory.known(command.stream, command.id)
        if known is not None:
            told = known.by_actor.get(command.actor)
            if told is not None and told.answers(command.fingerprint):
                return told.outcome()
        try:
            seen = (await self._seen(command.stream)).get((command.actor, command.id))
        except HeadraceError:
            return None
        if seen is None or not seen.holds_for(command.accepted_at):
            return None
        if seen.fingerprint != command.fingerprint:
            return Outcome(Status.REJECTED, seen.version, "command_id_reused", "this id was used for another command")
        return _of(seen)

    async def _folded(self, stream: StreamId, actor: str, command_id: str, *, strictly: bool) -> Found | None:
        seen = await self._seen(stream)
        own = seen.get((actor, command_id))
        if own is not None:
            return Found(actor, _of(own))
        others = [] if strictly else [(who, each) for (who, what), each in seen.items() if what == command_id]
        return Found(others[0][0], _of(others[0][1])) if len(others) == 1 else None

    async def _seen(self, stream: StreamId) -> dict[tuple[str, str], Seen]:
        """Every command the stream knows, the oldest too."""
        domain = self._registry.of_stream(stream)
        if domain is None:
            return {}
        commits = await self._store.load(stream)
        return History(stream, domain.decider).absorb(commits, self._registry, window=None).seen


def _surely_new(known: Known | None, actor: str) -> bool:
    return known is not None and known.age < YOUNG_SECONDS and actor not in known.repeats


def _entry(known: Known | None, actor: str) -> Found | None:
    if known is None or not known.by_actor:
        return None
    if actor in known.by_actor:
        return Found(actor, _told(known.by_actor[actor]))
    if len(known.by_actor) > 1:
        return None
    other, kept = next(iter(known.by_actor.items()))
    return Found(other, _told(kept))


def _told(kept: Kept | None) -> Outcome | None:
    return kept.outcome() if kept is not None else None


def _of(seen: Seen) -> Outcome:
    return Outcome(Status.REJECTED if seen.reason else Status.APPLIED, seen.version, seen.reason, seen.detail, seen.no_effect)
