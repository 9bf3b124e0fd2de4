"""How several processes share a stream's shards, each deciding for itself from the lease rows it sees. Pure.

What is free or expired is taken first, up to a fair share. Only when nothing is, and somebody holds two more than we, one of the busiest
one's leases is asked for; its owner hands it over at its next renewal, after its page, if by its own count it still has two more. So no
lease is ever taken from somebody who may still publish under it, and at rest nobody has two more than another.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from workers.shards import FREE, Row, Shard, readable

UNREAD: Final = 3.0
"""Lease times after which a shard that nobody reads is an alarm."""
_MOVED: Final = (-1, -1, 0.0)


class Watch:
    """How long rows stood still, on our own clock: the only way to tell that an owner is gone. No wall clocks are compared."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[str, tuple[int, int, float]] = {}

    def saw(self, rows: Iterable[Row], asked: float, answered: float) -> dict[str, float]:
        """Lease times that each row has stood still for, by its key: from when it was first seen so to when it was asked for again."""
        before, self._seen = self._seen, {}
        still: dict[str, float] = {}
        for row in rows:
            epoch, counter, since = before.get(row.key, _MOVED)
            if (epoch, counter) != (row.epoch, row.counter):
                epoch, counter, since = row.epoch, row.counter, answered
            self._seen[row.key] = (epoch, counter, since)
            still[row.key] = max(0.0, asked - since) / (row.seconds or self._seconds)
        return still


@dataclass(frozen=True, slots=True)
class View:
    """What one process sees of a stream when it looks."""

    me: str
    shards: list[Shard]
    """As the stream lists them now."""
    rows: Mapping[str, Row]
    """By shard; of every listed shard but those in `reading`, and of parents that are not listed."""
    still: Mapping[str, float]
    """By shard: lease times for which the row stood still."""
    reading: frozenset[str]
    """Shards that this process reads now."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now."""

    take: list[Shard] = field(default_factory=list)
    """In this order. What is ours already, then what is free or expired, up to our share; then what was left lying by all."""
    ask: Shard | None = None
    """Whose owner to ask for it."""
    asked: bool = False
    """A lease that we asked for has not come yet."""
    unread: list[Shard] = field(default_factory=list)
    """Readable, and read by nobody for far too long."""
    lost: list[Row] = field(default_factory=list)
    """Of shards that are no longer listed and were not read to their end: their children wait for them in vain."""
    owners: Mapping[str, int] = field(default_factory=dict)
    """Leases by live owner, ours included."""
    all_read: bool = False
    """Every listed shard was read to its end."""
    all_ours: bool = False
    """Every readable shard is read by this process: there is nothing of others to watch."""


def plan(view: View, order: Mapping[str, float]) -> Plan:
    """`order`: a random number for each shard and each owner, by which ties are broken; fleets that break them alike would collide."""
    open_now = _readable(view)
    owner = {shard.id: _owner(shard.id, view) for shard in open_now}
    owners = Counter({view.me: 0})
    owners.update(who for who in owner.values() if who)
    loose = sorted((shard for shard in open_now if not owner[shard.id]), key=lambda shard: order.get(shard.id, 0.0))
    ours = [shard for shard in open_now if owner[shard.id] == view.me and shard.id not in view.reading]
    room = ceil(len(open_now) / len(owners)) - owners[view.me]
    left_lying = [shard for shard in loose[max(0, room) :] if view.still.get(shard.id, 0.0) >= _patience(view.rows[shard.id])]
    wanted = [shard for shard in open_now if view.rows.get(shard.id, _NOBODYS).wanted == view.me and owner[shard.id] != view.me]
    return Plan(
        take=ours + loose[: max(0, room)] + left_lying,
        ask=None if loose or ours or wanted else _to_ask_for(view, open_now, owner, order),
        asked=bool(wanted),
        unread=[shard for shard in loose if view.still.get(shard.id, 0.0) >= UNREAD],
        lost=_lost(view),
        owners=owners,
        all_read=all(shard.id in view.rows and view.rows[shard.id].progress.ended for shard in view.shards),
        all_ours=bool(open_now) and all(shard.id in view.reading for shard in open_now),
    )


def grants(mine: int, theirs: int) -> bool:
    """Whether an owner of `mine` leases hands one to somebody of `theirs` who asks for it."""
    return mine - theirs >= 2


def unseen(shard: Shard, view: View) -> bool:
    """Nobody ever took this shard's lease, nor read its parent, and the parent is gone: records before it may never have been read."""
    listed = {each.id for each in view.shards}
    row, before = view.rows.get(shard.id), view.rows.get(shard.parent, _NOBODYS)
    return row is not None and row.new and before.new and bool(shard.parent) and shard.parent not in listed | view.reading


_NOBODYS: Final = Row("")


def _patience(row: Row) -> float:
    """Lease times for which a loose row is left to those who hold less than we."""
    return 1.0 if row.owner == FREE else 2.0


def _readable(view: View) -> list[Shard]:
    progress = {shard: row.progress for shard, row in view.rows.items()}
    listed = {shard.id for shard in view.shards}
    unended = {shard for shard, row in view.rows.items() if not row.new and not row.progress.ended}
    waiting = (unended | view.reading) - listed
    return [shard for shard in readable(view.shards, progress) if shard.parent not in waiting]


def _owner(shard: str, view: View) -> str:
    """Who reads it, as far as one can see; "" nobody."""
    if shard in view.reading:
        return view.me
    row = view.rows[shard]
    if row.owner == view.me:
        return view.me
    return "" if row.owner == FREE or view.still.get(shard, 0.0) >= 1.0 else row.owner


def _to_ask_for(view: View, open_now: list[Shard], owner: Mapping[str, str], order: Mapping[str, float]) -> Shard | None:
    """One of the busiest owner's leases, when it has two more than we; what others asked for already counts as theirs."""
    coming = {shard.id: view.rows[shard.id].wanted or owner[shard.id] for shard in open_now if shard.id not in view.reading}
    counts = Counter(coming.values())
    mine = sum(1 for shard in open_now if owner[shard.id] == view.me)
    held = {who for who in owner.values() if who != view.me}
    busiest = max(held, key=lambda who: (counts[who], order.get(who, 0.0)), default="")
    if not busiest or not grants(counts[busiest], mine):
        return None
    theirs = [shard for shard in open_now if owner[shard.id] == busiest and coming.get(shard.id) == busiest]
    return min(theirs, key=lambda shard: order.get(shard.id, 0.0), default=None)


def _lost(view: View) -> list[Row]:
    listed = {shard.id for shard in view.shards}
    return [
        row
        for shard, row in view.rows.items()
        if shard not in listed
        and shard not in view.reading
        and not row.new
        and not row.progress.ended
        and (row.owner in (FREE, view.me) or view.still.get(shard, 0.0) >= 1.0)
    ]
